// The symbols: prices of the first ones, all others by their name.

import { attribute, byId, element, keyed, say } from "./dom.js";
import { NONE, decimalsOf, percent, price } from "./format.js";

const WAIT = 150;

export class Watchlist {
  constructor(onChoose) {
    this.onChoose = onChoose;
    this.listed = [];
    this.found = null;
    this.chosen = null;
    this.list = byId("symbols");
    this.input = byId("search");
    this.list.addEventListener("click", (event) => {
      const item = event.target.closest("li");
      if (item) this.choose(item.dataset.symbol);
    });
    this.input.addEventListener("input", () => {
      clearTimeout(this.waiting);
      this.waiting = setTimeout(() => this.search(), WAIT);
      this.filter();
    });
    this.input.addEventListener("keydown", (event) => this.key(event));
  }

  /** Rows are [symbol, name, bucket, open, close]. */
  show(rows, total) {
    this.listed = rows;
    this.total = total;
    this.draw();
  }

  /** The price of the chosen symbol moves between the lists that come. */
  setPrice(symbol, close) {
    const row = this.listed.find((each) => each[0] === symbol);
    if (row && close != null && row[4] !== close) {
      row[4] = close;
      this.draw();
    }
  }

  name(symbol) {
    return [...this.listed, ...(this.found ?? [])].find((row) => row[0] === symbol)?.[1] ?? "";
  }

  quote(symbol) {
    return this.listed.find((row) => row[0] === symbol);
  }

  select(symbol) {
    if (this.chosen === symbol) return;
    this.chosen = symbol;
    this.draw();
    [...this.list.children].find((item) => item.dataset.symbol === symbol)?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  get rows() {
    return this.found ?? this.listed;
  }

  step(by) {
    const rows = this.listed;
    if (!rows.length) return;
    const place = rows.findIndex((row) => row[0] === this.chosen);
    this.onChoose(rows[(place + by + rows.length) % rows.length][0]);
  }

  choose(symbol) {
    this.input.value = "";
    this.found = null;
    this.cursor = null;
    this.input.blur();
    this.draw();
    this.onChoose(symbol);
  }

  filter() {
    const text = this.input.value.trim().toLowerCase();
    this.cursor = null;
    this.found = text ? this.listed.filter(([symbol, name]) => `${symbol} ${name ?? ""}`.toLowerCase().includes(text)) : null;
    if (this.found?.length) this.cursor = this.found[0][0];
    this.draw();
  }

  async search() {
    const text = this.input.value.trim();
    if (!text || (this.total ?? 0) <= this.listed.length) return;
    try {
      const answer = await fetch(`/api/symbols?${new URLSearchParams({ search: text })}`);
      const { symbols } = await answer.json();
      if (this.input.value.trim() !== text || !answer.ok) return;
      this.found = symbols.map(({ symbol, name }) => this.quote(symbol) ?? [symbol, name, null, null, null]);
      this.cursor = this.found[0]?.[0] ?? null;
      this.draw();
    } catch {
      // What is listed is shown all the same; the connection's state is at the top.
    }
  }

  key(event) {
    const rows = this.rows;
    if (event.key === "Escape") {
      this.input.value = "";
      this.filter();
      this.input.blur();
    } else if (event.key === "Enter") {
      if (this.cursor && rows.length) this.choose(this.cursor);
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const place = rows.findIndex((row) => row[0] === this.cursor);
      const next = (place + (event.key === "ArrowDown" ? 1 : -1) + rows.length) % rows.length;
      this.cursor = rows[next]?.[0] ?? null;
      this.draw();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  draw() {
    const make = ([symbol]) => element("li", { role: "option", "data-symbol": symbol },
      element("b", {}, symbol), element("span", { class: "last" }), element("span", { class: "label" }), element("span", { class: "move" }));
    keyed(this.list, this.rows, (row) => row[0], make, (item, [symbol, name, , open, close]) => {
      const [, last, label, move] = item.children;
      const change = open > 0 && close != null ? close / open - 1 : null;
      say(last, price(close, decimalsOf([open, close])));
      say(label, name ?? "");
      say(move, change == null ? NONE : percent(change));
      attribute(move, "data-move", change == null || Math.abs(change) < 5e-5 ? null : change > 0 ? "up" : "down");
      attribute(item, "aria-selected", String(symbol === this.chosen));
      item.classList.toggle("cursor", symbol === this.cursor);
    });
    const others = (this.total ?? 0) - this.listed.length;
    say(byId("more"), this.found && !this.found.length ? "No symbol has this in its name." : others > 0 && !this.found ? `${others.toLocaleString("en-US")} more: search for them.` : "");
  }
}
