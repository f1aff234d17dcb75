// Drives the official artifact client: `node official_artifact_client.mjs <folder of node_modules> read|write <arguments>`.
// read NAME TARGET DIGEST: finds, downloads and unpacks an artifact; write NAME ROOT FILE: uploads one.
// The last line printed is JSON.
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';

const [tools, verb, name, folder, last] = process.argv.slice(2);
const entry = join(tools, 'node_modules', '@actions', 'artifact', 'lib', 'artifact.js');
const { DefaultArtifactClient } = await import(pathToFileURL(entry).href);
const client = new DefaultArtifactClient();

if (verb === 'write') {
  const uploaded = await client.uploadArtifact(name, [join(folder, last)], folder);
  console.log(`\n${JSON.stringify(uploaded)}`);
} else {
  const { artifact } = await client.getArtifact(name);
  const downloaded = await client.downloadArtifact(artifact.id, { path: folder, expectedHash: last });
  console.log(`\n${JSON.stringify({ artifact, downloaded })}`);
}
