// Makes elements, and patches a page so that focus, selection and open details survive a redraw.

const SVG = "http://www.w3.org/2000/svg";

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * Make an HTML element. `name` may carry classes: "p.note.quiet".
 * Attributes that are null or false are left out.
 * @param {string} name
 * @param {Record<string, unknown>} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElement}
 */
export function html(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  return /** @type {HTMLElement} */ (fill(document.createElement(tag), classes, attributes, children));
}

/**
 * Make an SVG element, in the same way.
 * @param {string} name
 * @param {Record<string, unknown>} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {SVGElement}
 */
export function svg(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  return /** @type {SVGElement} */ (fill(document.createElementNS(SVG, tag), classes, attributes, children));
}

/** A mark of the sprite in index.html. What it means stands beside it as text. */
export function mark(name, ...classes) {
  return svg(["svg", "mark", `mark-${name}`, ...classes].join("."), { "aria-hidden": "true" },
    svg("use", { href: `#mark-${name}` }));
}

function fill(element, classes, attributes, children) {
  if (classes.length) element.setAttribute("class", classes.join(" "));
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return element;
}

/**
 * Turn the children of `parent` into `wanted` with as few changes as possible. Elements with the
 * same `data-key` are the same; without keys, those at the same place with the same tag. The inside
 * of an element with `data-keep` belongs to somebody else.
 * @param {Element} parent
 * @param {Iterable<Node>} wanted
 */
export function patch(parent, wanted) {
  const keyed = new Map();
  for (const child of parent.children) if (keyOf(child)) keyed.set(keyOf(child), child);
  let place = parent.firstChild;
  for (const node of [...wanted]) {
    const key = keyOf(node);
    const old = key ? keyed.get(key) : place && !keyOf(place) ? place : null;
    if (!old || old.nodeName !== node.nodeName) {
      parent.insertBefore(node, place);
      continue;
    }
    if (old === place) place = place.nextSibling;
    else parent.insertBefore(old, place);
    patchNode(old, node);
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function keyOf(node) {
  return node instanceof Element ? node.getAttribute("data-key") : null;
}

function patchNode(old, wanted) {
  if (!(old instanceof Element)) {
    if (old.nodeValue !== wanted.nodeValue) old.nodeValue = wanted.nodeValue;
    return;
  }
  const keep = wanted.hasAttribute("data-keep");
  for (const { name } of [...old.attributes]) {
    const own = name === "open" || (keep && (name === "class" || name === "style"));
    if (!own && !wanted.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (!keep) patch(old, wanted.childNodes);
}
