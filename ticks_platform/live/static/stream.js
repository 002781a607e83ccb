// The stream of events of one symbol and interval. It opens again by itself, and says when nothing comes.

const RETRY = 1000;
const SILENT = 6000;
const HIDDEN = 20000;

export class Stream {
  /** `on` has a function for each event, and `lost(words)` for a stream from which nothing comes. */
  constructor(on) {
    this.on = on;
    this.target = null;
    this.source = null;
    setInterval(() => this.watch(), 1000);
    document.addEventListener("visibilitychange", () => {
      clearTimeout(this.hiding);
      // Nobody looks: the database need not be asked.
      if (document.hidden) this.hiding = setTimeout(() => this.close(), HIDDEN);
      else if (!this.source && this.target) this.connect();
    });
    addEventListener("pagehide", () => this.close());
    addEventListener("pageshow", (event) => event.persisted && this.target && this.connect());
    addEventListener("online", () => this.target && !document.hidden && this.connect());
  }

  open(symbol, interval) {
    const query = new URLSearchParams({ interval });
    if (symbol) query.set("symbol", symbol);
    this.target = `/api/stream?${query}`;
    this.connect();
  }

  connect() {
    this.close();
    this.heard = Date.now();
    const source = new EventSource(this.target);
    this.source = source;
    for (const name of ["hello", "state", "overview", "series", "candles", "gaps", "unknown"]) {
      source.addEventListener(name, (event) => {
        if (source !== this.source) return;
        this.heard = Date.now();
        this.on[name]?.(JSON.parse(event.data));
      });
    }
    source.addEventListener("error", () => {
      if (source !== this.source) return;
      this.on.lost("away");
      // An answer other than 200 ends it for good; all else it tries again by itself.
      if (source.readyState === EventSource.CLOSED) {
        this.close();
        this.retry = setTimeout(() => this.connect(), RETRY);
      }
    });
  }

  watch() {
    if (!this.source || document.hidden) return;
    if (Date.now() - this.heard > SILENT) this.on.lost("silent");
  }

  close() {
    clearTimeout(this.retry);
    this.source?.close();
    this.source = null;
  }
}
