// The page itself: which view is shown, how often it is loaded, and what happens on a click.

import { OPERATOR_ACTIONS } from "./actions.js";
import { businessView } from "./business.js";
import { DEVICE_ACTIONS, devicesView } from "./devices.js";
import { html, patch } from "./dom.js";
import { fleetView } from "./fleet.js";
import { clock, duration } from "./format.js";
import { Poller } from "./poll.js";

/**
 * @typedef {object} View
 * @property {string} title
 * @property {Record<string, () => Promise<any>>} resources `environment` is always among them.
 * @property {(state: Record<string, import("./poll.js").Loaded>, now: number) => Array<Node | null>} render
 * @property {(root: Element, state: Record<string, import("./poll.js").Loaded>) => void} [drawn] Called once it is in the page.
 * @property {(before: any, after: any) => string[]} news What a screen reader should say of a change.
 * @property {number} [every] Milliseconds between two rounds.
 */

const main = document.querySelector("main");
const header = {
  environment: document.getElementById("environment"),
  dashboard: document.getElementById("dashboard"),
  age: document.getElementById("age"),
  retry: document.getElementById("retry"),
};
const NEWS_STAYS = 8_000;

/** @type {View} */
let view;
/** @type {Poller} */
let poller;
let failing = false;
let newsTimer = 0;

function route() {
  const [path, query = ""] = location.hash.replace(/^#/, "").split("?");
  const parameters = Object.fromEntries(new URLSearchParams(query));
  const business = /^\/business\/(.+)$/.exec(path);
  if (business) return businessView(decoded(business[1]), parameters);
  return path === "/devices" ? devicesView() : fleetView(parameters);
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** @param {boolean} moved Whether somebody moved here, so that the focus must follow. */
function show(moved) {
  const before = view;
  poller?.stop();
  view = route();
  document.title = `${view.title} – Business connections`;
  const loaded = poller?.state;
  const own = new Poller(view.resources, render, (state) => changed(state, own.previous), view.every);
  own.previous = null;
  // What is known already stays on the page while the rest is loaded.
  if (loaded?.environment.data) own.state.environment = loaded.environment;
  if (before?.title === view.title) Object.assign(own.state, loaded);
  poller = own;
  render();
  markCurrent();
  if (moved && before?.title !== view.title) {
    main.querySelector("h1")?.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
  poller.now();
}

function changed(state, previous) {
  const now = poller.failed;
  if (now !== failing) say(now ? "Something does not answer. What is shown may be old." : "Everything answers again.");
  failing = now;
  if (previous) for (const text of view.news(previous, state)) say(text);
  poller.previous = state;
  render();
}

function render() {
  const now = Date.now() / 1000;
  const focused = main.contains(document.activeElement) ? document.activeElement : null;
  patch(main, view.render(poller.state, now).filter(Boolean));
  if (focused && document.activeElement !== focused) keepFocus(focused);
  view.drawn?.(main, poller.state);
  renderHeader(now);
}

// An element that only moved keeps the focus. If it is gone, one starts again at the top of the view.
function keepFocus(element) {
  const next = element.isConnected ? element : main.querySelector("h1");
  next?.focus({ preventScroll: true });
}

function renderHeader(now) {
  const environment = poller.state.environment?.data;
  document.body.classList.toggle("has-devices", Boolean(environment?.devices));
  if (environment) {
    const { name, region, deployed, dashboardUrl } = environment;
    header.dashboard.hidden = !dashboardUrl;
    if (dashboardUrl) header.dashboard.href = dashboardUrl;
    patch(header.environment, [html("b", {}, name), html("span", {}, [region, deployed].filter(Boolean).join(" · "))]);
  }
  const age = poller.oldest === null ? "Loading" : `${duration(now - poller.oldest)} old`;
  const next = poller.failed && !poller.loading ? `; next attempt in ${duration(poller.next - now)}` : "";
  header.age.textContent = age + next;
  header.age.title = poller.oldest === null ? "" : `The oldest part of this page was loaded at ${clock(poller.oldest, now)}`;
  header.age.classList.toggle("is-old", poller.failed);
  header.retry.hidden = !poller.failed;
}

function markCurrent() {
  const path = location.hash.replace(/^#/, "").split("?")[0] || "/";
  for (const link of document.querySelectorAll("#views a")) {
    const current = link.getAttribute("href") === `#${path}`;
    link.toggleAttribute("aria-current", current);
    if (current) link.setAttribute("aria-current", "page");
  }
}

/** Show a line for some seconds, and let a screen reader say it. */
function say(text, failed = false) {
  const news = document.getElementById("news");
  const line = html(`p${failed ? ".is-failed" : ""}`, {}, text);
  news.append(line);
  while (news.children.length > 3) news.firstChild.remove();
  clearTimeout(newsTimer);
  newsTimer = setTimeout(() => news.replaceChildren(), NEWS_STAYS);
}

async function act(element, submitted = {}) {
  const { action } = element.dataset;
  try {
    if (action in OPERATOR_ACTIONS) {
      const done = await OPERATOR_ACTIONS[action](element.dataset);
      keepFocus(element);
      if (!done) return;
    } else {
      say(await DEVICE_ACTIONS[action](element.dataset, submitted));
    }
  } catch (error) {
    say(error.message, true);
  }
  poller.now();
}

main.addEventListener("click", (event) => {
  const button = /** @type {Element} */ (event.target).closest("button[data-action]");
  if (button) act(button);
});
main.addEventListener("submit", (event) => {
  event.preventDefault();
  const form = /** @type {HTMLFormElement} */ (event.target);
  act(form, Object.fromEntries(new FormData(form, event.submitter)));
});
document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = /** @type {HTMLInputElement} */ (document.getElementById("search-id"));
  const id = input.value.trim();
  if (id) location.hash = `#/business/${encodeURIComponent(id)}`;
  input.value = "";
});
header.retry.addEventListener("click", () => poller.now());
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) poller.now();
});
addEventListener("hashchange", () => show(true));
setInterval(() => {
  if (!document.hidden) render();
}, 1000);
show(false);
