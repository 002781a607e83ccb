// Where a candle comes from: the answer of `ticks explain`, in a drawer.

import { byId, element, say } from "./dom.js";
import { bucket } from "./format.js";

export class Explanation {
  constructor(onClose) {
    this.onClose = onClose;
    this.drawer = byId("explain");
    const [header, body, footer] = this.drawer.children;
    this.title = header.firstElementChild;
    this.body = body;
    this.footer = footer;
    header.lastElementChild.addEventListener("click", () => this.close());
    footer.lastElementChild.addEventListener("click", async (event) => {
      try {
        await navigator.clipboard.writeText(footer.firstElementChild.textContent);
        event.target.textContent = "Copied";
      } catch {
        event.target.textContent = "Select it";
      }
      setTimeout(() => (event.target.textContent = "Copy"), 1500);
    });
  }

  get isOpen() {
    return !this.drawer.hidden;
  }

  async open(symbol, interval, at) {
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    say(this.title, `${symbol}, ${bucket(at, interval)} UTC`);
    this.drawer.hidden = false;
    this.footer.hidden = true;
    this.body.replaceChildren(element("p", { class: "empty" }, "Asking the database…"));
    try {
      const query = new URLSearchParams({ symbol, interval, at });
      const answer = await fetch(`/api/explain?${query}`, { signal: asking.signal });
      const content = await answer.json();
      if (!answer.ok) throw new Error(content.error);
      this.body.replaceChildren(...sections(content.text));
      say(this.footer.firstElementChild, content.command);
      this.footer.hidden = false;
      this.body.scrollTop = 0;
    } catch (error) {
      if (asking.signal.aborted) return;
      const words = error instanceof TypeError ? "The page's server does not answer." : error.message;
      this.body.replaceChildren(element("p", {}, words), element("p", { class: "empty" }, "Click on the candle to try again."));
    }
  }

  close() {
    this.asking?.abort();
    this.drawer.hidden = true;
    this.onClose?.();
  }
}

/** The text's sections: a title, and its lines indented by two spaces. The first line names the candle, as the drawer does. */
function* sections(text) {
  let list = null;
  const lines = text.split("\n").slice(1);
  for (const [place, line] of lines.entries()) {
    if (line.startsWith("  ")) {
      list ??= element("ul");
      list.append(element("li", {}, line.slice(2)));
      continue;
    }
    if (list) yield list;
    list = null;
    if (!line) continue;
    yield element(lines[place + 1]?.startsWith("  ") ? "h4" : "p", {}, line);
  }
  if (list) yield list;
}
