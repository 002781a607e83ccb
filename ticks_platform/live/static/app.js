// The page: what is chosen, what is shown, and what is wrong.

import { attribute, byId, prose, say } from "./dom.js";
import { clock, percent, price, signed } from "./format.js";
import { Explanation } from "./explain.js";
import { showFeeds, showGaps, showRejected } from "./panels.js";
import { Stream } from "./stream.js";
import { Watchlist } from "./watchlist.js";

const INTERVALS = ["1m", "1h", "1d"];
const chosen = read();
let chart = null;
let series = null; // that of the chart, or the one that waits for the library
let version = null;
let offset = 0; // of the server's clock
let database = { tone: "idle" };
let lost = null;
let unknown = null;
let broken = null;
let hasOverview = false;
let settings = null; // what is wrong with feeds.yaml or .env
let feeds = [];

const watchlist = new Watchlist((symbol) => choose(symbol, chosen.interval));
const explanation = new Explanation(() => chart?.clearCursor());

const stream = new Stream({
  hello(content) {
    lost = null;
    // The server is of another version than the page.
    if (version && version !== content.version) location.reload();
    version = content.version;
    judge();
  },
  state(content) {
    lost = null;
    database = content.database;
    feeds = content.feeds;
    settings = content.settings ?? null;
    if (content.at) offset = content.at - Date.now() / 1000;
    say(byId("database"), database.name ?? "");
    if (database.tone === "good") {
      showFeeds(feeds);
      byId("settings").hidden = !settings;
      say(byId("settings"), settings ?? "");
      say(byId("rejected-count"), total("rejected"));
    }
    judge();
  },
  overview(content) {
    hasOverview = true;
    watchlist.show(content.symbols, content.symbol_count);
    showGaps(content.open_gaps);
    showRejected(content.rejected, feeds.reduce((sum, feed) => sum + feed.rejected, 0));
    head();
    judge();
  },
  series(content) {
    series = content;
    adopt(content);
    chart?.show(content);
    head();
    judge();
  },
  candles(content) {
    if (!isChosen(content)) return;
    if (chart) chart.update(content.candles);
    else if (series) keep(content.candles);
    const newest = content.candles.filter((candle) => candle.length > 1).at(-1);
    if (newest && chart?.newest()?.[0] === newest[0]) watchlist.setPrice(content.symbol, newest[4]);
    head();
    judge();
  },
  gaps(content) {
    if (content.symbol === chosen.symbol) chart?.setGaps(content.gaps);
  },
  unknown(content) {
    unknown = content;
    judge();
    setTimeout(() => { unknown = null; judge(); }, 6000);
  },
  lost(how) {
    lost = how;
    judge();
  },
});

function read() {
  const query = new URLSearchParams(location.search);
  const interval = query.get("interval");
  return { symbol: query.get("symbol"), interval: INTERVALS.includes(interval) ? interval : "1m" };
}

function choose(symbol, interval) {
  if (symbol === chosen.symbol && interval === chosen.interval) return;
  [chosen.symbol, chosen.interval] = [symbol, interval];
  explanation.close();
  write();
  series = null;
  head();
  judge();
  stream.open(symbol, interval);
}

/** What arrives before the library does. */
function keep(candles) {
  const kept = new Map(series.candles.map((candle) => [candle[0], candle]));
  for (const candle of candles) candle.length > 1 ? kept.set(candle[0], candle) : kept.delete(candle[0]);
  series.candles = [...kept.values()].sort((a, b) => a[0] - b[0]);
}

function adopt(content) {
  if (isChosen(content)) return;
  [chosen.symbol, chosen.interval] = [content.symbol, content.interval];
  write();
}

const isChosen = ({ symbol, interval }) => symbol === chosen.symbol && interval === chosen.interval;

function write() {
  const query = new URLSearchParams({ ...(chosen.symbol ? { symbol: chosen.symbol } : {}), interval: chosen.interval });
  history.replaceState(null, "", `?${query}`);
}

const total = (name) => {
  const sum = feeds.reduce((all, feed) => all + (feed[name] ?? 0), 0);
  return sum ? sum.toLocaleString("en-US") : "";
};

/** Symbol, name, price, interval. */
function head() {
  const { symbol, interval } = chosen;
  watchlist.select(symbol);
  say(byId("symbol"), symbol ?? "\u00a0");
  say(byId("company"), watchlist.name(symbol) || "\u00a0");
  const newest = series && chart ? chart.newest() : null;
  const quote = watchlist.quote(symbol);
  const last = newest?.[4] ?? quote?.[4] ?? null;
  const decimals = chart?.decimals ?? 2;
  say(byId("price"), last == null ? "\u00a0" : price(last, decimals));
  const open = quote?.[3];
  const move = open > 0 && last != null ? last - open : null;
  say(byId("change"), move == null ? "\u00a0" : `${signed(move, decimals)} (${percent(last / open - 1)}) today`);
  attribute(byId("change"), "data-move", !move ? null : move > 0 ? "up" : "down");
  for (const button of byId("intervals").children) attribute(button, "aria-checked", String(button.dataset.interval === interval));
  document.title = symbol && last != null ? `${price(last, decimals)} ${symbol}` : "Live candles";
}

/** What is wrong, and what to do about it. */
function judge() {
  const [tone, words, title, detail] = verdict();
  attribute(byId("connection"), "data-tone", tone);
  say(byId("connection").lastElementChild, words);
  attribute(byId("connection"), "title", database.tone === "good" ? null : database.detail);
  const notice = byId("notice");
  notice.hidden = !title;
  if (title) {
    say(notice.children[0], title);
    prose(notice.children[1], detail ?? "");
  }
  // What is painted already is old until the first answer of a stream.
  const isOf = series && hasOverview;
  const isStale = lost || (database.tone === "idle" ? isOf : database.tone !== "good");
  attribute(document.body, "data-state", isStale ? "stale" : isOf ? "live" : "waiting");
}

function verdict() {
  if (lost === "away") return ["bad", "disconnected", "This page's server is away", "`ticks dev` and `ticks live` start it. The page connects again by itself."];
  if (lost === "silent") return ["bad", "no answer", "This page's server does not answer", "It may be busy, or stopped. The page waits for it."];
  if (database.tone === "bad") return ["bad", `database ${database.words}`, `The database is ${database.words}`, database.detail];
  if (database.words === "no tables yet") return ["warn", "starting", "Just a moment: there are no tables yet", database.detail];
  if (database.tone === "warn") return ["warn", `database ${database.words}`, null];
  if (broken) return ["warn", "no chart", "The chart library is missing", broken];
  if (unknown) return ["good", "live", `There is no symbol ${unknown.symbol}`, unknown.nearest.length ? `Did you mean ${unknown.nearest.join(" or ")}?` : "Choose one from the list."];
  if (database.tone === "idle") return ["idle", "connecting", null];
  if (!series || !hasOverview) return ["good", "connected", null];
  if (!series.candles.length && chart && !chart.points.size) return ["good", "live", "No candles yet", feedWords()];
  const worst = feeds.find((feed) => feed.tone === "bad") ?? feeds.find((feed) => feed.tone === "warn");
  if (settings && worst?.tone !== "bad") return ["warn", "settings cannot be read", null];
  return worst ? [worst.tone, `${worst.feed}: ${worst.words}`, null] : ["good", "live", null];
}

function feedWords() {
  const bad = feeds.find((feed) => feed.tone !== "good" && feed.tone !== "idle");
  return bad ? `Feed ${bad.feed}: ${bad.words}. ${bad.detail}` : "The first one appears with the first tick of this symbol. Its market may be closed.";
}

// Keys and clicks.

byId("intervals").addEventListener("click", (event) => {
  const interval = event.target.dataset.interval;
  if (interval) choose(chosen.symbol, interval);
});

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target === byId("search")) return;
  const isField = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
  const keys = {
    "/": () => byId("search").focus(),
    Escape: () => (explanation.isOpen ? explanation.close() : chart?.clearCursor()),
    ArrowUp: () => watchlist.step(-1),
    ArrowDown: () => watchlist.step(1),
    ArrowLeft: () => chart?.move(-1),
    ArrowRight: () => chart?.move(1),
    End: () => chart?.reset(),
    Enter: () => chart?.cursor != null && explain(chart.cursor),
  };
  INTERVALS.forEach((interval, place) => (keys[place + 1] = () => choose(chosen.symbol, interval)));
  const isButton = event.target.tagName === "BUTTON" && (event.key === "Enter" || event.key === " ");
  const isScrolling = explanation.isOpen && explanation.body.contains(event.target) && event.key !== "Escape";
  if (isField || isButton || isScrolling || !keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
});

function explain(time) {
  if (chart.cursor !== time) chart.cursor = time;
  explanation.open(chosen.symbol, chosen.interval, time);
}

async function older(before) {
  const query = new URLSearchParams({ symbol: chosen.symbol, interval: chosen.interval, before });
  const answer = await fetch(`/api/candles?${query}`);
  if (!answer.ok) throw new Error((await answer.json()).error);
  return answer.json();
}

setInterval(() => say(byId("clock"), clock(Date.now() / 1000 + offset)), 250);
head();
stream.open(chosen.symbol, chosen.interval);

async function load() {
  try {
    const [{ Chart }, library] = await Promise.all([import("./chart.js"), import("/vendor/lightweight-charts.mjs")]);
    chart = new Chart(library, { onClick: explain, onOlder: older });
    broken = null;
    if (series) chart.show(series);
    head();
  } catch (error) {
    const answer = await fetch("/vendor/lightweight-charts.mjs").catch(() => null);
    const content = answer && !answer.ok ? await answer.json().catch(() => null) : null;
    broken = content?.error ?? `${error}`;
  }
  judge();
}

load();
