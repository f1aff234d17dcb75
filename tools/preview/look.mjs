// GitHub's look, and the browser that draws it: shared by shoot.mjs and pictures.mjs.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import MarkdownIt from "markdown-it";
import { chromium } from "playwright-core";

export const modules = join(dirname(fileURLToPath(import.meta.url)), "node_modules");
const style = readFileSync(join(modules, "github-markdown-css", "github-markdown.css"), "utf8");
const mermaid = join(modules, "mermaid", "dist", "mermaid.min.js");

const markdown = new MarkdownIt({ html: true, linkify: true });
const fence = markdown.renderer.rules.fence;
markdown.renderer.rules.fence = (tokens, index, ...rest) =>
  tokens[index].info.trim() === "mermaid"
    ? `<pre class="mermaid">${markdown.utils.escapeHtml(tokens[index].content)}</pre>\n`
    : fence(tokens, index, ...rest);

export const escaped = markdown.utils.escapeHtml;
export const article = (content) => `<article class="markdown-body">${markdown.render(content)}</article>`;

export const page_of = (body, width, more = "") => `<!doctype html><meta charset="utf-8"><style>${style}
  body { margin: 0; background: light-dark(#ffffff, #0d1117); color-scheme: light dark; }
  article { box-sizing: border-box; width: ${width}px; padding: 32px; }
  pre.mermaid { text-align: center; }
  ${more}
</style>${body}`;

export const draw_diagrams = async (page, scheme) => {
  await page.addScriptTag({ path: mermaid });
  await page.evaluate(async (dark) => {
    window.mermaid.initialize({ startOnLoad: false, theme: dark ? "dark" : "default", securityLevel: "strict" });
    await window.mermaid.run({ querySelector: "pre.mermaid", suppressErrors: true });
    for (const added of document.querySelectorAll("body > :not(article)")) added.remove();
  }, scheme === "dark");
};

export const open_browser = () =>
  chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: [
      "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ],
  });
