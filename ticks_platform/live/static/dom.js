// Elements. Everything that comes from outside becomes text, never HTML.

export const byId = (id) => document.getElementById(id);

/** An element with attributes and children; strings become text. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Sets the text of an element only if it is another one, so that a selection and a screen reader are left alone. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Sets a text in which `backticks` mark what is typed or named. */
export function prose(node, text) {
  if (node.prose === text) return;
  node.prose = text;
  node.replaceChildren(...text.split("`").map((part, place) => (place % 2 ? element("code", {}, part) : part)));
}

export function attribute(node, name, value) {
  if (value == null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/** Makes the children of a node those of a list: one element a key, made once, updated in place, in the list's order. */
export function keyed(parent, items, key, make, update, empty) {
  parent.keyed ??= new Map();
  const kept = new Map();
  if (!items.length) {
    if (empty != null && parent.textContent !== empty) parent.replaceChildren(element("p", { class: "empty" }, empty));
    else if (empty == null) parent.replaceChildren();
    parent.keyed = kept;
    return;
  }
  if (!parent.keyed.size) parent.replaceChildren();
  let place = parent.firstElementChild;
  for (const item of items) {
    const name = key(item);
    const node = parent.keyed.get(name) ?? make(item);
    kept.set(name, node);
    update(node, item);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
  for (const [name, node] of parent.keyed) if (kept.get(name) !== node) node.remove();
  parent.keyed = kept;
}
