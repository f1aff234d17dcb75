// Renders every *.md of a folder with GitHub's look and takes a picture in light and in dark: `node shoot.mjs DIR`.
// Fails when a diagram does not draw, when something is wider than the page, or when a page has an element that
// GitHub's own text did not ask for.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { article, draw_diagrams, open_browser, page_of } from "./look.mjs";

const folder = process.argv[2];
const tallest = 6000; // of a picture, in pixels

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

const browser = await open_browser();
let bad = 0;
for (const file of readdirSync(folder).filter((name) => name.endsWith(".md")).sort()) {
  const name = file.replace(/\.md$/, "");
  const html = page_of(article(readFileSync(join(folder, file), "utf8")), 980);
  for (const scheme of ["light", "dark"]) {
    const page = await browser.newPage({ viewport: { width: 980, height: 900 }, colorScheme: scheme });
    await page.setContent(html);
    await draw_diagrams(page, scheme);
    const seen = await page.evaluate(inspect);
    const height = Math.min(seen.height, tallest);
    await page.screenshot({ path: join(folder, `${name}-${scheme}.png`), clip: { x: 0, y: 0, width: 980, height }, fullPage: true });
    const wrong = seen.undrawn || seen.overflow || seen.scrolling.length || seen.forbidden || seen.open;
    bad += wrong ? 1 : 0;
    console.log(`${wrong ? "WRONG" : "ok"} ${name}-${scheme}.png ${JSON.stringify(seen)}`);
    await page.close();
  }
}
await browser.close();
process.exit(bad ? 1 : 0);
