// Renders every *.md of a folder with GitHub's look and takes a picture in light and in dark: `node shoot.mjs DIR`.
// Fails when a diagram does not draw, when something is wider than the page, or when a page has an element that
// GitHub's own text did not ask for.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import MarkdownIt from "markdown-it";
import { chromium } from "playwright-core";

const folder = process.argv[2];
const modules = join(folder, "node_modules");
const style = readFileSync(join(modules, "github-markdown-css", "github-markdown.css"), "utf8");
const mermaid = join(modules, "mermaid", "dist", "mermaid.min.js");
const tallest = 6000; // of a picture, in pixels

const markdown = new MarkdownIt({ html: true, linkify: true });
const fence = markdown.renderer.rules.fence;
markdown.renderer.rules.fence = (tokens, index, ...rest) =>
  tokens[index].info.trim() === "mermaid"
    ? `<pre class="mermaid">${markdown.utils.escapeHtml(tokens[index].content)}</pre>\n`
    : fence(tokens, index, ...rest);

const page_of = (content) => `<!doctype html><meta charset="utf-8"><style>${style}
  body { margin: 0; background: light-dark(#ffffff, #0d1117); color-scheme: light dark; }
  article { box-sizing: border-box; width: 980px; padding: 32px; }
  pre.mermaid { text-align: center; }
</style><article class="markdown-body">${markdown.render(content)}</article>`;

const inspect = () => {
  const article = document.querySelector("article");
  const diagrams = [...document.querySelectorAll("pre.mermaid")];
  const folded = [...document.querySelectorAll("details:not([open])")];
  for (const found of folded) found.open = true; // a table that is folded has no width
  const scrolling = [...document.querySelectorAll("table")].filter((found) => found.scrollWidth > found.clientWidth);
  for (const found of folded) found.open = false;
  const forbidden = "img, script:not([src]), iframe, form, input, article style, [onclick], [onerror]";
  return {
    undrawn: diagrams.filter((found) => !found.querySelector("svg") || found.querySelector(".error-icon")).length,
    diagrams: diagrams.length,
    overflow: Math.max(article.scrollWidth - article.clientWidth, 0),
    scrolling: scrolling.map((found) => found.querySelector("tr").textContent.trim().replaceAll("\n", " ")),
    forbidden: [...article.querySelectorAll(forbidden)].filter((found) => !found.closest("svg")).length,
    open: article.nextElementSibling === null ? 0 : 1,
    height: document.documentElement.scrollHeight,
  };
};

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
});
let bad = 0;
for (const file of readdirSync(folder).filter((name) => name.endsWith(".md")).sort()) {
  const name = file.replace(/\.md$/, "");
  const html = page_of(readFileSync(join(folder, file), "utf8"));
  for (const scheme of ["light", "dark"]) {
    const page = await browser.newPage({ viewport: { width: 980, height: 900 }, colorScheme: scheme });
    await page.setContent(html);
    await page.addScriptTag({ path: mermaid });
    await page.evaluate(async (dark) => {
      window.mermaid.initialize({ startOnLoad: false, theme: dark ? "dark" : "default", securityLevel: "strict" });
      await window.mermaid.run({ querySelector: "pre.mermaid", suppressErrors: true });
      for (const added of document.querySelectorAll("body > :not(article)")) added.remove();
    }, scheme === "dark");
    const seen = await page.evaluate(inspect);
    const height = Math.min(seen.height, tallest);
    await page.screenshot({ path: join(folder, `${name}-${scheme}.png`), clip: { x: 0, y: 0, width: 980, height }, fullPage: true });
    if (name === "failed" && scheme === "light") {
      // For the README: down to the lineage, which is what a reader sees without scrolling far.
      const end = await page.locator("h4", { hasText: /^Time$/ }).evaluate((found) => found.getBoundingClientRect().top);
      await page.screenshot({ path: join(folder, "readme.png"), clip: { x: 0, y: 0, width: 980, height: end }, fullPage: true });
    }
    const wrong = seen.undrawn || seen.overflow || seen.scrolling.length || seen.forbidden || seen.open;
    bad += wrong ? 1 : 0;
    console.log(`${wrong ? "WRONG" : "ok"} ${name}-${scheme}.png ${JSON.stringify(seen)}`);
    await page.close();
  }
}
await browser.close();
process.exit(bad ? 1 : 0);
