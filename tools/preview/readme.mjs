// Takes pictures of the first screens of a README, and fails where its first example does not stand on the first one:
// `node readme.mjs README OUT`, from the folder of the README.
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { article, draw_diagrams, open_browser, page_of } from "./look.mjs";

const [file, out] = process.argv.slice(2);
const [width, height] = [900, 900]; // of a screen
const page_file = join(out, "readme.html");
const root = `<base href="${pathToFileURL(resolve("."))}/">`;
writeFileSync(page_file, page_of(root + article(readFileSync(file, "utf8")), width));

const browser = await open_browser();
let bad = 0;
for (const scheme of ["light", "dark"]) {
  const page = await browser.newPage({ viewport: { width, height }, colorScheme: scheme });
  await page.goto(pathToFileURL(resolve(page_file)).href, { waitUntil: "load" });
  await draw_diagrams(page, scheme);
  const end = await page.locator("pre").first().evaluate((found) => found.getBoundingClientRect().bottom);
  const missing = await page.evaluate(() =>
    [...document.images].filter((found) => found.src.startsWith("file:") && !found.naturalWidth).map((found) => found.src),
  );
  const wrong = end > height || missing.length > 0;
  bad += wrong ? 1 : 0;
  await page.screenshot({ path: join(out, `readme-${scheme}.png`), clip: { x: 0, y: 0, width, height: 3 * height }, fullPage: true });
  console.log(`${wrong ? "WRONG" : "ok"} readme-${scheme}.png: the example ends at ${Math.round(end)} of ${height}; missing: ${missing}`);
  await page.close();
}
await browser.close();
process.exit(bad ? 1 : 0);
