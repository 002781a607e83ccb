// Numbers and times as people read them. All times are UTC.

const cache = new Map();

function numbers(least, most) {
  const name = `${least}/${most}`;
  if (!cache.has(name)) {
    cache.set(name, new Intl.NumberFormat("en-US", { minimumFractionDigits: least, maximumFractionDigits: most }));
  }
  return cache.get(name);
}

export const MINUS = "\u2212";
export const NONE = "\u2013";

/** How many decimals these prices have, between 2 and 8. */
export function decimalsOf(prices) {
  let most = 2;
  for (const price of prices) {
    if (price == null) continue;
    const text = price.toFixed(8).replace(/0+$/, "");
    most = Math.max(most, text.length - text.indexOf(".") - 1);
  }
  return Math.min(8, most);
}

export const price = (value, decimals = 2) => (value == null ? NONE : numbers(decimals, decimals).format(value));
export const count = (value) => (value == null ? NONE : numbers(0, 0).format(value));

export function amount(value) {
  if (value == null) return NONE;
  for (const [size, letter] of [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e4, "K"]]) {
    if (Math.abs(value) >= size) {
      const unit = letter === "K" ? 1e3 : size;
      return `${numbers(1, 1).format(value / unit)} ${letter}`;
    }
  }
  return numbers(0, value < 100 ? 4 : 0).format(value);
}

export function percent(share) {
  if (share == null || !Number.isFinite(share)) return NONE;
  const text = numbers(2, 2).format(Math.abs(share) * 100);
  return `${share < 0 ? MINUS : "+"}${text} %`;
}

export function signed(value, decimals) {
  return `${value < 0 ? MINUS : "+"}${price(Math.abs(value), decimals)}`;
}

/** A duration in seconds. */
export function duration(seconds) {
  if (seconds == null) return NONE;
  const whole = Math.max(0, seconds);
  if (whole < 0.9995) return `${Math.round(whole * 1000)} ms`;
  if (whole < 10) return `${whole.toFixed(1)} s`;
  if (whole < 120) return `${Math.round(whole)} s`;
  if (whole < 7200) return `${Math.round(whole / 60)} min`;
  if (whole < 172800) return `${Math.round(whole / 3600)} h`;
  return `${Math.round(whole / 86400)} days`;
}

const iso = (seconds) => new Date(seconds * 1000).toISOString();

export const clock = (seconds) => iso(seconds).slice(11, 19);

/** A moment, without the day if that is today. */
export function moment(seconds) {
  const text = iso(seconds);
  const today = new Date().toISOString().slice(0, 10);
  return text.slice(0, 10) === today ? text.slice(11, 19) : `${text.slice(5, 10)} ${text.slice(11, 19)}`;
}

/** When a candle begins. */
export function bucket(seconds, interval) {
  const text = iso(seconds);
  return interval === "1d" ? text.slice(0, 10) : `${text.slice(0, 10)} ${text.slice(11, 16)}`;
}

const CAUSES = {
  disconnected: "connection lost", stalled: "connection stalled", silent: "nothing sent", unsubscribed: "unsubscribed",
  refused: "refused by the provider", stopped: "ingestion stopped", switched_off: "feed disabled",
  killed: "ingestion killed", clock_stepped: "clock was set", slept: "machine slept", not_subscribed: "not subscribed",
};

export const cause = (name) => CAUSES[name] ?? name.replaceAll("_", " ");
