// Draws what real_runs.py has kept as GitHub and a terminal show it, in light and in dark: `node pictures.mjs RUNS OUT`.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { article, escaped, modules, open_browser, page_of } from "./look.mjs";

const [runs, out] = process.argv.slice(2);
const read = (name) => readFileSync(join(runs, name), "utf8");
const border = "light-dark(#d1d9e0, #3d444d)";
const muted = "light-dark(#59636e, #9198a1)";
const surface = "light-dark(#f6f8fa, #151b23)";

const frame = `
  .frame { box-sizing: border-box; width: WIDTHpx; border: 1px solid ${border}; border-radius: 6px; overflow: hidden;
           background: light-dark(#ffffff, #0d1117); color: light-dark(#1f2328, #f0f6fc); font: 14px/1.5 Arial, sans-serif; }
  .frame article { width: auto; padding: 20px 24px 8px; }
  .bar { padding: 8px 16px; background: ${surface}; border-bottom: 1px solid ${border}; color: ${muted}; }
  .bar b { color: light-dark(#1f2328, #f0f6fc); }
  .badge { margin-left: 4px; padding: 0 6px; border: 1px solid ${border}; border-radius: 1em; font-size: 12px; }
  .cut { position: relative; }
  .cut::after { content: ""; position: absolute; inset: auto 0 0; height: 48px;
                background: linear-gradient(transparent, light-dark(#ffffff, #0d1117)); }
  .code { font: 12px/20px "Liberation Mono", monospace; white-space: pre; }
  .line { display: grid; grid-template-columns: 44px 44px 1fr; }
  .line span { padding: 0 10px; text-align: right; color: ${muted}; }
  .line code { padding: 0 10px; font: inherit; }
  .hunk { background: light-dark(#ddf4ff, #121d2f); color: ${muted}; }
  .added { background: light-dark(#dafbe1, #12261e); }
  .note { margin: 8px 16px; border: 1px solid ${border}; border-radius: 6px; border-left: 4px solid light-dark(#cf222e, #f85149);
          padding: 12px 16px; font-family: Arial, sans-serif; white-space: normal; }
  .note .where { display: flex; justify-content: space-between; font-size: 14px; }
  .note .where b { color: light-dark(#cf222e, #f85149); }
  .note .where span { color: ${muted}; }
  .note h4 { margin: 10px 0 6px; font-size: 14px; }
  .note pre { margin: 0; font: 12px/1.5 "Liberation Mono", monospace; white-space: pre-wrap; }
  .code { padding-bottom: 8px; }
  .code .hunk { margin-bottom: 4px; }
  .window { margin: 12px; overflow: hidden; }
  .xterm .scrollbar, .xterm .shadow { display: none; }
  /* Its black would show at the edges. */
  .xterm .xterm-viewport { background: none !important; }
`;

const framed = (content, width) => page_of(`<div class="frame">${content}</div>`, width, frame.replace("WIDTH", width));

// -- what is drawn

const comment_head = '<div class="bar"><b>github-actions</b><span class="badge">bot</span> commented</div>';

const diff = ({ file, line, title, message, hunk }) => {
  const [head, ...lines] = hunk;
  let [before, after] = head.match(/-(\d+).*?\+(\d+)/).slice(1).map(Number);
  const rows = lines.map((text) => {
    const added = text.startsWith("+");
    const numbers = `<span>${added ? "" : before++}</span><span>${after}</span>`;
    const row = `<div class="line${added ? " added" : ""}">${numbers}<code>${escaped(text)}</code></div>`;
    return after++ === Number(line) ? row + note(file, line, title, message) : row;
  });
  return `<div class="bar"><b>${escaped(file)}</b></div><div class="code"><div class="line hunk"><span></span><span></span>
    <code>${escaped(head)}</code></div>${rows.join("")}</div>`;
};

const note = (file, line, title, message) => `<div class="note">
  <div class="where"><b>Check failure on line ${line} in ${escaped(file)}</b><span>GitHub Actions / dbt</span></div>
  <h4>${escaped(title)}</h4><pre>${escaped(message)}</pre></div>`;

// -- the terminal

const columns = 130; // as real_runs.py records it
const names = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
const palette = (background, foreground, colours) =>
  Object.fromEntries([
    ["background", background],
    ["foreground", foreground],
    ...names.map((name, place) => [name, colours[place]]),
    // Bold text is written with the bright colours.
    ...names.map((name, place) => [`bright${name[0].toUpperCase()}${name.slice(1)}`, colours[place]]),
  ]);
const themes = {
  light: palette("#ffffff", "#1f2328", ["#eaeef2", "#cf222e", "#116329", "#7d4e00", "#0969da", "#8250df", "#1b7c83", "#6e7781"]),
  dark: palette("#0d1117", "#f0f6fc", ["#21262d", "#ff7b72", "#3fb950", "#d29922", "#58a6ff", "#bc8cff", "#39c5cf", "#b1bac4"]),
};

const first_shown = /^Attempt 2: run \d+ http/;
const last_shown = /^ +✅ +customers /;

/** Shows the lines from FIRST_SHOWN to LAST_SHOWN, with the escape sequences as a terminal applies them. */
const type = async (page, scheme) => {
  for (const path of [["xterm", "lib", "xterm.js"], ["addon-unicode-graphemes", "lib", "addon-unicode-graphemes.js"]]) {
    await page.addScriptTag({ path: join(modules, "@xterm", ...path) });
  }
  await page.addStyleTag({ path: join(modules, "@xterm", "xterm", "css", "xterm.css") });
  const given = { text: read("terminal.txt"), theme: themes[scheme], columns, first: first_shown, last: last_shown };
  await page.evaluate(async ({ text, theme, columns, first, last }) => {
    // So high that nothing scrolls: the window shows a part of it.
    const options = { cols: columns, rows: 400, scrollback: 0, allowProposedApi: true, theme, cursorInactiveStyle: "none" };
    const terminal = new window.Terminal({ ...options, fontFamily: "Liberation Mono", fontSize: 13 });
    terminal.loadAddon(new window.UnicodeGraphemesAddon.UnicodeGraphemesAddon());
    terminal.open(document.querySelector("#terminal"));
    await new Promise((done) => terminal.write(text, done));
    const lines = [...Array(400).keys()].map((number) => terminal.buffer.active.getLine(number).translateToString(true));
    const start = lines.findIndex((line) => first.test(line));
    const end = lines.findIndex((line) => last.test(line));
    if (start < 0 || end < start) throw new Error(`no lines to show: ${start} to ${end}`);
    const height = document.querySelector(".xterm-screen").getBoundingClientRect().height / 400;
    document.querySelector(".window").style.height = `${(end - start + 1) * height - 2}px`;
    document.querySelector("#terminal").style.marginTop = `${-start * height}px`;
    // The lines are drawn with the next frames.
    await new Promise((done) => setTimeout(done, 500));
  }, given);
};

// -- the pictures

/** Ends the picture of a summary below the row of this asset. */
const until_asset = (name) => (page) =>
  page.evaluate((wanted) => {
    const links = [...document.querySelectorAll("td:nth-child(2) > a:first-child")];
    const last = links.find((link) => link.textContent === wanted && link.closest("table").rows[0].cells.length === 7);
    const frame = document.querySelector(".frame");
    frame.style.height = `${last.closest("tr").getBoundingClientRect().bottom + 32}px`;
    frame.classList.add("cut");
  }, name);

const nothing = async () => {};
const terminal = '<div class="bar">dbt-cloud-run</div><div class="window"><div id="terminal"></div></div>';
const pictures = [
  { name: "summary", width: 960, content: article(read("summary.md")), prepare: until_asset("shop.calendar") },
  { name: "comment", width: 820, content: comment_head + article(read("comment.md")), prepare: nothing },
  { name: "annotation", width: 760, content: diff(JSON.parse(read("annotation.json"))), prepare: nothing },
  { name: "terminal", width: 1044, content: terminal, prepare: type },
];

const browser = await open_browser();
for (const { name, width, content, prepare } of pictures) {
  for (const scheme of ["light", "dark"]) {
    const options = { viewport: { width, height: 900 }, colorScheme: scheme, deviceScaleFactor: 1.5 };
    const page = await browser.newPage(options);
    await page.setContent(framed(content, width));
    await prepare(page, scheme);
    await page.locator(".frame").screenshot({ path: join(out, `${name}-${scheme}.png`), omitBackground: true });
    await page.close();
  }
}
await browser.close();
