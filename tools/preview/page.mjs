// Takes a picture of a page when it shows a text: `node page.mjs URL TEXT PICTURE [BUTTON]`.
// BUTTON closes a dialog that stands before the page.
import { chromium } from "playwright-core";

const [url, text, picture, button] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
});
const page = await browser.newPage({ viewport: { width: 1280, height: 860 }, colorScheme: "light" });
await page.goto(url, { timeout: 120_000, waitUntil: "domcontentloaded" });
try {
  if (button) await page.getByRole("button", { name: button, exact: true }).click({ timeout: 120_000 });
  await page.getByText(text).first().waitFor({ timeout: 120_000 });
  // What is drawn and loaded after the text.
  await page.waitForTimeout(4_000);
} finally {
  await page.screenshot({ path: picture });
  await browser.close();
}
