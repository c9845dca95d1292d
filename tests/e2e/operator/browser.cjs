"use strict";
// Looks at the page of `backfill report --follow` as people do: on wide and narrow screens, light and dark, while a run goes on.
//   node browser.cjs TOOLS URL follow FOLDER   until the run has ended; pictures go to the folder
//   node browser.cjs TOOLS URL lose            until the page says that it is not followed any more
// Says on stdout, as JSON on a line each, when the pages are open, when they have followed for a while, and what was measured.
const path = require("node:path");

const [tools, url, what, folder] = process.argv.slice(2);
const { chromium } = require(path.join(tools, "node_modules/playwright-core"));

const PATIENCE = 90_000;

const say = (words) => console.log(JSON.stringify(words));

async function launch() {
  const place = path.join(tools, "chromium");
  return chromium.launch({
    executablePath: path.join(place, "chromium"),
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync",
    ],
    env: { ...process.env, LD_LIBRARY_PATH: path.join(place, "lib"), FONTCONFIG_FILE: path.join(place, "fonts.conf") },
  });
}

// Opens the page, and takes down what a person would not see.
async function open(browser, width, colorScheme) {
  const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
  const seen = { navigations: 0, errors: [], elsewhere: [] };
  page.on("framenavigated", () => (seen.navigations += 1));
  page.on("pageerror", (error) => seen.errors.push(error.message));
  page.on("console", (message) => message.type() === "error" && seen.errors.push(message.text()));
  const origin = new URL(url).origin;
  page.on("request", (request) => {
    const to = request.url();
    if (!to.startsWith(origin + "/") && !to.startsWith("data:")) {
      seen.elsewhere.push(to);
    }
  });
  await page.goto(url);
  return { page, seen, width, colorScheme };
}

// In the page: its figures, and what makes it hard to read.
function measure() {
  const colour = (text) => {
    const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number);
    return { r, g, b, a };
  };
  const luminance = ({ r, g, b }) => {
    const part = (c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const behind = (element) => {
    for (let at = element; at !== null; at = at.parentElement) {
      const back = colour(getComputedStyle(at).backgroundColor);
      if (back.a === 1) {
        return back;
      }
    }
    return { r: 255, g: 255, b: 255 };
  };
  let contrast = { ratio: 21, text: "" };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text !== null; text = texts.nextNode()) {
    const of = text.parentElement;
    if (text.data.trim() === "" || of.getClientRects().length === 0) {
      continue;
    }
    const style = getComputedStyle(of);
    const [one, other] = [colour(of.closest("svg") ? style.fill : style.color), behind(of)].map(luminance);
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < contrast.ratio) {
      contrast = { ratio, text: text.data.slice(0, 60) };
    }
  }
  const figures = [...document.querySelectorAll(".figures div")];
  return {
    figures: Object.fromEntries(figures.map((div) => [div.children[0].textContent, div.children[1].textContent])),
    following: document.getElementById("following").textContent,
    bar: document.querySelector(".following progress")?.value ?? null,
    headline: document.querySelector(".headline").textContent,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    background: luminance(behind(document.body)),
    contrast,
    // What a reader has done to the page.
    mark: window.mark ?? null,
    selected: String(getSelection()),
    top: Math.round(document.querySelector(".figures").getBoundingClientRect().top),
    tableLeft: document.querySelector(".scroll").scrollLeft,
  };
}

// What a reader does: goes down, moves a table aside, selects a word.
function read() {
  window.mark = "not loaded again";
  window.scrollTo(0, 200);
  document.querySelector(".scroll").scrollLeft = 60;
  getSelection().selectAllChildren(document.querySelector("h1"));
}

// While the run goes on.
async function follow(view) {
  const { page, width, colorScheme } = view;
  await page.evaluate(read);
  const before = await page.evaluate(measure);
  const hasChanged = (updated) => document.querySelectorAll(".figures dd")[1].textContent !== updated;
  await page.waitForFunction(hasChanged, before.figures.Updated, { timeout: PATIENCE });
  const between = await page.evaluate(measure);
  await page.waitForFunction(hasChanged, between.figures.Updated, { timeout: PATIENCE });
  const after = await page.evaluate(measure);
  await page.screenshot({ path: path.join(folder, `running-${width}-${colorScheme}.png`) });
  Object.assign(view.seen, { width, colorScheme, before, between, after });
}

// Until it has ended.
async function finish({ page, seen, width, colorScheme }) {
  await page.waitForFunction(() => "ended" in document.body.dataset, null, { timeout: PATIENCE });
  const end = await page.evaluate(measure);
  await page.screenshot({ path: path.join(folder, `ended-${width}-${colorScheme}.png`), fullPage: true });
  return { end, ...seen };
}

async function lose(browser) {
  const { page } = await open(browser, 390, "dark");
  const { following, figures } = await page.evaluate(measure);
  say({ open: true });
  await page.waitForSelector("#following.lost", { timeout: PATIENCE });
  const after = await page.evaluate(measure);
  return [{ following, lost: after.following, figures, left: after.figures, contrast: after.contrast }];
}

async function main() {
  const browser = await launch();
  try {
    if (what === "lose") {
      say(await lose(browser));
      return;
    }
    const views = [];
    for (const width of [1280, 390]) {
      for (const colorScheme of ["light", "dark"]) {
        views.push(await open(browser, width, colorScheme));
      }
    }
    say({ open: true });
    await Promise.all(views.map(follow));
    say({ followed: true });
    say(await Promise.all(views.map(finish)));
  } finally {
    await browser.close();
  }
}

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
