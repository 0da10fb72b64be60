// The frame of a part of a page: its heading, and what stands there while it loads, fails or is empty.

import { html, mark } from "./dom.js";
import { ago, clock } from "./format.js";

/**
 * A part of a page that shows one resource. While it loads, a placeholder; if it never loaded, why
 * not; if the last attempt failed, what was known before, and since when it is old.
 * @param {string} title
 * @param {import("./poll.js").Loaded} loaded
 * @param {(data: any) => import("./dom.js").Child[]} show
 * @param {{key: string, now: number, aside?: import("./dom.js").Child, classes?: string}} options
 */
export function section(title, loaded, show, { key, now, aside = null, classes = "" }) {
  const id = `${key}-heading`;
  return html(
    `section.panel${classes}`,
    { "data-key": key, "aria-labelledby": id, "aria-busy": !loaded.data && !loaded.error ? "true" : null },
    html("header.panel-head", {}, html("h2", { id }, title), aside),
    ...content(loaded, show, now),
  );
}

/** The same without a frame. */
export function content(loaded, show, now) {
  if (loaded.data !== null) {
    return [loaded.error && stale(loaded, now), ...show(loaded.data)].filter(Boolean);
  }
  return loaded.error ? [failed(loaded.error)] : [placeholder()];
}

function stale({ error, at }, now) {
  return html("p.strip", {}, mark("alarm"), html("span", {}, `As of ${clock(at, now)} (${ago(at, now)}). ${error.message}`));
}

function failed(error) {
  return html("div.empty.is-failed", {}, mark("unreachable"),
    html("p", {}, html("strong", {}, "This could not be loaded. "), error.message));
}

function placeholder() {
  return html("div.loading", {}, html("span.hidden", {}, "Loading"), ...[1, 2, 3].map(() => html("i")));
}

/** What stands where there is nothing to show: the good case, mostly. */
export function empty(name, title, text) {
  return html("div.empty", {}, mark(name), html("p", {}, html("strong", {}, `${title} `), text));
}

/**
 * A table that turns into cards on a phone.
 * @param {string} caption For screen readers.
 * @param {string[]} heads
 * @param {Array<{key?: string, cells: Array<import("./dom.js").Child | import("./dom.js").Child[]>}>} rows The first cell names the row.
 */
export function table(caption, heads, rows) {
  return html("table.cards", {}, html("caption.hidden", {}, caption),
    html("thead", {}, html("tr", {}, heads.map((head) => html("th", { scope: "col" }, head)))),
    html("tbody", {}, rows.map(({ key, cells }) =>
      html("tr", { "data-key": key }, cells.map((cell, at) =>
        at === 0 ? html("th", { scope: "row" }, cell) : html("td", { "data-head": heads[at] || null }, html("div", {}, cell)))))));
}

/** @param {string} label @param {string} action What actions.js calls. @param {Record<string, string>} [data] */
export function button(label, action, data = {}, kind = "") {
  const attributes = Object.fromEntries(Object.entries(data).map(([name, value]) => [`data-${name}`, value]));
  return html(`button${kind ? `.${kind}` : ""}`, { type: "button", "data-action": action, ...attributes }, label);
}

export function businessLink(id) {
  return html("a.business", { href: `#/business/${encodeURIComponent(id)}` }, id);
}

/** Links of which one is the current one. @param {Array<[string, string, boolean]>} each Text, address, chosen. */
export function choices(label, each) {
  return html("nav.choices", { "aria-label": label }, each.map(([text, href, chosen]) =>
    html("a", { href, "aria-current": chosen ? "true" : null }, text)));
}
