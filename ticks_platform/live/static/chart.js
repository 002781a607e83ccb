// The chart: candlesticks, volume, gaps. A candle is [time, open, high, low, close, volume, ticks].

import { byId, element, say } from "./dom.js";
import { amount, bucket, cause, count, decimalsOf, duration, price } from "./format.js";
import { GapBands } from "./gaps.js";

export const STEPS = { "1m": 60, "1h": 3600, "1d": 86400 };
const VISIBLE = { wide: 110, narrow: 45, least: 36 };
const FILLED = 60; // places of a long gap without candles; the time in between is drawn narrower

const styles = getComputedStyle(document.documentElement);
const style = (name) => styles.getPropertyValue(name).trim();

export class Chart {
  /** `onClick(time)`, and `onOlder(before)`, which has to return a promise of older candles and gaps. */
  constructor(library, { onClick, onOlder }) {
    this.onOlder = onOlder;
    this.points = new Map();
    this.times = [];
    this.gaps = [];
    this.library = library;
    this.chart = library.createChart(byId("chart"), {
      autoSize: true,
      layout: { attributionLogo: false, fontFamily: "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", fontSize: 11 },
      rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.1, bottom: 0.24 } },
      timeScale: { borderVisible: false, timeVisible: true, secondsVisible: false, rightOffset: 4, minBarSpacing: 1 },
      handleScale: { axisPressedMouseMove: { price: true } },
    });
    this.candles = this.chart.addSeries(library.CandlestickSeries, { borderVisible: false, lastValueVisible: true });
    this.volume = this.chart.addSeries(library.HistogramSeries, {
      priceScaleId: "", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false,
    });
    this.volume.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    this.bands = new GapBands(style);
    this.candles.attachPrimitive(this.bands);
    this.chart.subscribeCrosshairMove((event) => this.legend(event.time ?? this.cursor));
    this.chart.subscribeClick((event) => event.time != null && onClick(event.time));
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => this.older(range));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => requestAnimationFrame(() => this.paint()));
    this.paint();
  }

  paint() {
    const soft = style("--soft"), line = style("--line"), mode = this.library.CrosshairMode.Normal;
    const hair = { color: style("--faint"), labelBackgroundColor: style("--soft") };
    this.chart.applyOptions({
      layout: { background: { color: style("--panel") }, textColor: soft },
      grid: { vertLines: { color: style("--grid") }, horzLines: { color: style("--grid") } },
      crosshair: { mode, vertLine: hair, horzLine: hair },
      rightPriceScale: { borderColor: line },
    });
    const up = style("--up"), down = style("--down");
    this.candles.applyOptions({ upColor: up, wickUpColor: up, downColor: down, wickDownColor: down });
    this.draw();
  }

  /** Shows a series from its beginning. Older candles that were loaded stay, if it is the same one. */
  show({ symbol, interval, candles, gaps }) {
    const isOther = symbol !== this.symbol || interval !== this.interval;
    if (isOther) {
      this.points.clear();
      this.exhausted = false;
      this.cursor = null;
    } else {
      for (const at of [...this.points.keys()]) if (candles.length && at >= candles[0][0]) this.points.delete(at);
    }
    [this.symbol, this.interval] = [symbol, interval];
    for (const candle of candles) this.points.set(candle[0], candle);
    this.gaps = isOther ? gaps : merge(this.gaps, gaps);
    this.format();
    this.draw();
    if (isOther) this.reset();
  }

  reset() {
    const most = byId("chart").clientWidth > 600 ? VISIBLE.wide : VISIBLE.narrow;
    const many = Math.min(most, Math.max(VISIBLE.least, this.times.length + 12));
    const end = this.times.length + 4;
    this.candles.priceScale().applyOptions({ autoScale: true });
    this.chart.timeScale().setVisibleLogicalRange({ from: end - many, to: end });
  }

  /** Candles that changed or are new; one that is gone is its time alone. */
  update(candles) {
    let whole = false;
    for (const candle of candles) {
      const newest = this.times.at(-1) ?? 0;
      if (candle.length === 1) whole = this.points.delete(candle[0]) || whole;
      else {
        whole ||= candle[0] < newest;
        this.points.set(candle[0], candle);
        if (!whole) this.put(candle);
      }
    }
    if (whole || this.gaps.some((gap) => gap.end == null)) this.draw();
    this.legend(this.cursor);
  }

  put(candle) {
    if (candle[0] > (this.times.at(-1) ?? 0)) this.times.push(candle[0]);
    this.candles.update(bar(candle));
    this.volume.update(this.volumeBar(candle));
  }

  setGaps(gaps) {
    this.gaps = merge(this.gaps, gaps);
    this.draw();
  }

  format() {
    const recent = [...this.points.values()].slice(-60);
    this.decimals = decimalsOf(recent.flatMap((candle) => candle.slice(1, 5)));
    this.candles.applyOptions({ priceFormat: { type: "price", precision: this.decimals, minMove: 10 ** -this.decimals } });
    this.chart.timeScale().applyOptions({ timeVisible: this.interval !== "1d" });
  }

  draw() {
    const step = STEPS[this.interval] ?? 60;
    const known = [...this.points.keys()].sort((a, b) => a - b);
    const begin = known[0] ?? 0, end = (known.at(-1) ?? 0) + step;
    const now = Date.now() / 1000;
    const times = new Set(known);
    const shown = [];
    for (const gap of this.gaps) {
      const first = Math.max(Math.floor(gap.begin / step) * step, begin);
      const until = Math.min(gap.end ?? now, gap.end == null ? now : Math.max(end, now));
      const last = Math.floor((until - 1e-3) / step) * step;
      if (!known.length || gap.state === "ignored" || last < begin || last < first) continue;
      const missing = [];
      for (let at = first; at <= last && missing.length < 20000; at += step) if (!this.points.has(at)) missing.push(at);
      const every = Math.ceil(missing.length / FILLED);
      missing.forEach((at, place) => (place % every === 0 || place === missing.length - 1) && times.add(at));
      if (times.has(first) && times.has(last)) shown.push({ ...gap, first, last });
    }
    this.times = [...times].sort((a, b) => a - b);
    this.candles.setData(this.times.map((at) => (this.points.has(at) ? bar(this.points.get(at)) : { time: at })));
    this.volume.setData(this.times.map((at) => (this.points.has(at) ? this.volumeBar(this.points.get(at)) : { time: at })));
    this.shown = shown;
    this.bands.show(shown, step);
    this.legend(this.cursor);
  }

  volumeBar([time, open, , , close, volume]) {
    if (volume == null) return { time };
    return { time, value: volume, color: `${style(close >= open ? "--up" : "--down")}59` };
  }

  async older(range) {
    if (!range || range.from > 10 || this.loading || this.exhausted || !this.points.size) return;
    const { symbol, interval } = this;
    const before = Math.min(...this.points.keys());
    this.loading = true;
    try {
      const found = await this.onOlder(before);
      if (symbol !== this.symbol || interval !== this.interval) return;
      if (!found.candles.length) this.exhausted = true;
      for (const candle of found.candles) this.points.set(candle[0], candle);
      this.gaps = merge(found.gaps, this.gaps);
      if (found.candles.length) this.draw();
    } catch {
      this.exhausted = true; // until the symbol is chosen again
    } finally {
      this.loading = false;
    }
  }

  newest() {
    return [...this.points.values()].reduce((last, each) => (last && last[0] > each[0] ? last : each), null);
  }

  /** Moves the cursor by some candles; returns where it is. */
  move(by) {
    if (!this.times.length) return null;
    const place = this.cursor == null ? this.times.length : this.times.indexOf(this.cursor);
    const at = this.times[Math.min(this.times.length - 1, Math.max(0, place + by))];
    this.cursor = at;
    const candle = this.points.get(at);
    if (candle && candle[4] != null) this.chart.setCrosshairPosition(candle[4], at, this.candles);
    const scale = this.chart.timeScale(), range = scale.getVisibleLogicalRange(), index = this.times.indexOf(at);
    if (range && (index < range.from + 1 || index > range.to - 1)) {
      const width = range.to - range.from, from = index - width / 2;
      scale.setVisibleLogicalRange({ from, to: from + width });
    }
    this.legend(at);
    return at;
  }

  clearCursor() {
    this.cursor = null;
    this.chart.clearCrosshairPosition();
    this.legend();
  }

  legend(time) {
    const candle = this.points.get(time) ?? (time == null ? this.newest() : null);
    const at = time ?? candle?.[0];
    const parts = [];
    const add = (name, text) => parts.push(name, element("b", {}, text));
    if (at != null) parts.push(element("b", { class: "at" }, `${bucket(at, this.interval)} UTC`));
    if (candle) {
      if (candle[4] == null) parts.push("no prices: no tick of it may set them ");
      else ["O", "H", "L", "C"].forEach((name, place) => add(name, price(candle[place + 1], this.decimals)));
      add("Vol", amount(candle[5]));
      add("Ticks", count(candle[6]));
    }
    const gap = at == null ? null : (this.shown ?? []).find((each) => each.first <= at && at <= each.last);
    if (gap) parts.push(element("em", {}, gapText(gap)));
    const legend = byId("legend");
    const text = parts.map((part) => part.textContent ?? part).join("");
    if (legend.textContent !== text) parts.length ? legend.replaceChildren(...parts) : say(legend, "\u00a0");
  }
}

function gapText(gap) {
  const length = gap.end == null ? "lasts" : duration(gap.end - gap.begin);
  return `gap: ${cause(gap.cause)}, ${length}, ${gap.state} (${gap.feed})`;
}

function bar([time, open, high, low, close]) {
  return close == null ? { time } : { time, open, high, low, close };
}

/** Gaps of both, each once, in order of their begin; those of the second are newer news. */
function merge(before, after) {
  const found = new Map(before.map((gap) => [`${gap.feed} ${gap.begin}`, gap]));
  for (const gap of after) found.set(`${gap.feed} ${gap.begin}`, gap);
  return [...found.values()].sort((a, b) => a.begin - b.begin);
}
