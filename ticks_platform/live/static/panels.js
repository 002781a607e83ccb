// Feeds, open gaps, rejected events.

import { attribute, byId, element, keyed, prose, say, svg } from "./dom.js";
import { NONE, cause, count, duration, moment } from "./format.js";

const LEDGER = ["loaded", "replaced", "duplicate", "rejected", "control"];
const STATS = {
  rate: ["Rate", "events a second, over the last seconds"],
  lag: ["Lag", "from event time to arrival, of the newest tick"],
  age: ["Last data", "since the last frame with data that is stored"],
  connects: ["Connects", "connections that were opened in the last hour"],
  clock: ["Clock", "of the machine that ingests"],
  since: ["Since", "when its connection changed last"],
};
const POINTS = 60;
const rates = new Map();

export function showFeeds(feeds) {
  for (const feed of feeds) {
    const seen = rates.get(feed.feed) ?? [];
    if (feed.rate != null) seen.push(feed.rate);
    rates.set(feed.feed, seen.slice(-POINTS));
  }
  const empty = "No feed is in feeds.yaml yet.";
  keyed(byId("feeds"), feeds, (feed) => feed.feed, makeFeed, (node, feed) => updateFeed(node, feed), empty);
}

function makeFeed() {
  const stats = Object.entries(STATS).map(([key, [name, title]]) => element("div", { title }, element("dt", {}, name), element("dd", { "data-key": key })));
  const line = (name, key, kind = "") => element("tr", { class: kind }, element("td", {}, name), element("td", { "data-key": key }));
  return element("article", { class: "feed" },
    element("header", {}, element("i"), element("h3"), element("span", { class: "tag" }), element("span", { class: "words" })),
    element("p", { class: "detail" }),
    svg("svg", { viewBox: `0 0 ${POINTS - 1} 30`, preserveAspectRatio: "none", "aria-hidden": "true" }, svg("path", { class: "area" }), svg("path")),
    element("dl", {}, ...stats),
    element("table", { class: "ledger", "aria-label": "Ledger" },
      element("tbody", {}, line("events received", "events"), ...LEDGER.map((name) => line(name, name)), line("", "balance", "sum"), line("frames in the journal", "waiting"))));
}

function updateFeed(node, feed) {
  attribute(node, "data-tone", feed.tone);
  say(node.querySelector("h3"), feed.feed);
  const tag = node.querySelector(".tag");
  say(tag, feed.synthetic ? "synthetic" : feed.candles === false ? "secondary" : feed.provider ?? "");
  tag.hidden = !tag.textContent;
  say(node.querySelector(".words"), feed.words);
  const detail = node.querySelector(".detail");
  prose(detail, feed.tone === "good" ? feed.provider ?? "" : feed.detail || "\u00a0");
  attribute(detail, "title", feed.detail || null);
  const set = (key, text, wrong = false) => {
    const cell = node.querySelector(`[data-key=${key}]`);
    say(cell, text);
    cell.classList.toggle("wrong", wrong);
    return cell;
  };
  set("rate", feed.rate == null ? NONE : `${feed.rate.toFixed(1)} /s`);
  set("lag", duration(feed.lag));
  set("age", feed.data_age == null ? NONE : `${duration(Math.round(feed.data_age))} ago`.replace(/^0 ms ago$/, "now"));
  set("connects", feed.connects == null ? NONE : `${feed.connects || "none"} in 1 h`);
  attribute(set("clock", feed.clock_trouble ? "wrong" : feed.heartbeat_age == null ? NONE : "right", Boolean(feed.clock_trouble)), "title", feed.clock_trouble);
  set("since", feed.state_since == null ? NONE : moment(feed.state_since));
  for (const key of ["events", ...LEDGER]) set(key, count(feed[key]), key === "rejected" && feed.rejected > 0);
  const sum = LEDGER.reduce((total, key) => total + (feed[key] ?? 0), 0);
  const cell = set("balance", sum === feed.events ? "every event is accounted for" : `${count(feed.events - sum)} events are not accounted for`, sum !== feed.events);
  cell.style.fontWeight = "400";
  set("waiting", count(feed.waiting));
  draw(node.querySelector("svg"), rates.get(feed.feed) ?? []);
}

function draw(picture, values) {
  const most = Math.max(1, ...values);
  const from = POINTS - values.length;
  const points = values.map((value, place) => `${from + place} ${(29 - (27 * value) / most).toFixed(1)}`);
  const [area, line] = picture.children;
  attribute(line, "d", points.length > 1 ? `M${points.join("L")}` : "");
  attribute(area, "d", points.length > 1 ? `M${from} 30L${points.join("L")}L${POINTS - 1} 30Z` : "");
}

export function showGaps({ count: total, newest }) {
  say(byId("gap-count"), total ? count(total) : "");
  const make = () => element("div", { class: "row" }, element("b"), element("span"), element("p"));
  keyed(byId("gaps"), newest, (gap) => `${gap.feed} ${gap.symbol} ${gap.begin}`, make, (node, gap) => {
    const [symbol, length, words] = node.children;
    const seconds = (gap.end ?? Date.now() / 1000) - gap.begin;
    say(symbol, gap.symbol);
    say(length, gap.end == null ? `for ${duration(Math.max(1, Math.round(seconds)))}` : duration(seconds));
    say(words, `${cause(gap.cause)} at ${moment(gap.begin)} (${gap.feed})${gap.detail ? `; ${gap.detail}` : ""}`);
  }, "None. Nothing that was missed waits for its repair.");
}

export function showRejected(events, total) {
  say(byId("rejected-count"), total ? count(total) : "");
  const make = () => element("div", { class: "row" }, element("b"), element("span"), element("p"), element("code"));
  keyed(byId("rejected"), events, (event) => `${event.feed} ${event.at} ${event.raw}`, make, (node, event) => {
    const [feed, at, reason, raw] = node.children;
    say(feed, event.feed);
    say(at, moment(event.at));
    say(reason, event.reason);
    say(raw, event.raw);
    attribute(raw, "title", event.raw);
  }, "None. Every event could be read.");
}
