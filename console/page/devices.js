// Devices to play with: the story of the product, to click through on this machine.

import { businessPath, change, get } from "./api.js";
import { html } from "./dom.js";
import { ago, clock, count, duration, plural, seconds } from "./format.js";
import { nextStep } from "./guide.js";
import { businessLink, button, content, empty, section, table } from "./sections.js";
import { deviceBadge, statusBadge, statusLabel } from "./words.js";

const WATCHED = 8;
const EVERY = 3_000;
const AT_ONCE = 6;

/** @returns {import("./app.js").View} */
export function devicesView() {
  return {
    title: "Devices to play with",
    every: EVERY,
    resources: { environment: () => get("/api/environment"), alarms: () => get("/api/alarms"), play: load },
    render: ({ environment, alarms, play }, now) => [
      html("div.title", { "data-key": "title" }, html("h1", { tabindex: "-1" }, "Devices to play with"),
        html("p.quiet", {}, "They run on this machine, and speak to the real service over real WebSockets.")),
      html("div.guide", { "data-key": "guide" }, ...content(play, (data) => [
        html("p", {}, html("b", {}, "Try next: "), nextStep(data, alarms.data, environment.data, now))], now)),
      html("div.columns.is-even", { "data-key": "columns" },
        section("Devices", play, ({ devices }) => [connectForm(), ...deviceTable(devices, now)], {
          key: "devices", now, aside: play.data?.devices.length ? html("span.count", {}, play.data.devices.length) : null,
        }),
        section("Their businesses, live", play, (data) => businesses(data, now), { key: "businesses", now })),
    ],
    news: (before, after) => news(before.play.data?.statuses, after.play.data?.statuses),
  };
}

async function load() {
  const { devices } = await get("/api/devices");
  const ids = watched(devices);
  const statuses = await Promise.all(ids.slice(0, WATCHED).map((id) => get(businessPath(id, "status"))));
  return { devices, statuses, more: Math.max(0, ids.length - WATCHED) };
}

// Businesses with a device in trouble come first, then those whose devices changed last.
function watched(devices) {
  const trouble = ({ state }) => Number(state === "silent" || state === "cut");
  const lately = devices.toSorted((one, other) => trouble(other) - trouble(one) || other.since.localeCompare(one.since));
  return [...new Set(lately.map(({ businessId }) => businessId))];
}

function connectForm() {
  return html("form.bar", { "data-action": "connect", "data-key": "connect" },
    html("label", {}, "Business ", html("input", { name: "business", value: "shop-1", required: true, pattern: "[A-Za-z0-9][A-Za-z0-9._:@\\-]*", autocomplete: "off" })),
    html("button.primary", { name: "count", value: "1" }, "Connect a device"),
    html("button", { name: "count", value: "50" }, "Connect 50 businesses"));
}

function deviceTable(devices, now) {
  if (!devices.length) return [empty("unknown", "No devices yet.", "Connect one: it pings every few seconds, like a till in a shop.")];
  const some = devices.length > 1;
  return [
    some ? html("div.bar", { "data-key": "bulk" }, html("span.quiet", {}, "Several at once:"),
      button("Silence ten", "several", { command: "silence", most: "10" }), button("Cut ten", "several", { command: "cut", most: "10" }),
      button("Wake all", "several", { command: "wake", most: "50" }), button("Close all", "several", { command: "close", most: "50" })) : null,
    html("div.scroll", { "data-key": "table", tabindex: "0", role: "region", "aria-label": "All devices" },
      table("Devices", ["Business", "State", "Received", "Actions"], devices.map((each) => row(each, now)))),
  ].filter(Boolean);
}

function row({ id, businessId, state, since, received, lastMessage }, now) {
  return {
    key: id,
    cells: [
      businessLink(businessId),
      [deviceBadge(state), html("span.quiet", { title: `Since ${clock(seconds(since), now)}` }, ` ${duration(now - seconds(since))}`)],
      html("span", { title: lastMessage }, count(received)),
      html("span.actions", {}, commands(state).map(([command, label]) => button(label, "device", { command, device: id }))),
    ],
  };
}

function commands(state) {
  if (state === "connected") return [["silence", "Silence"], ["cut", "Cut"], ["close", "Close"]];
  if (state === "silent") return [["wake", "Wake"], ["cut", "Cut"], ["close", "Close"]];
  return state === "connecting" ? [] : [["wake", "Wake"]];
}

function businesses({ statuses, more }, now) {
  if (!statuses.length) return [empty("unknown", "None yet.", "The businesses of your devices appear here.")];
  return [
    statuses.length > 1 ? html("div.bar", { "data-key": "bulk" }, html("span.quiet", {}, "All of them:"),
      button("Available", "everywhere", { available: "true" }), button("Unavailable", "everywhere", { available: "false" })) : null,
    html("ul.live", {}, statuses.map((status) => business(status, now))),
    more ? html("p.quiet", {}, `${plural(more, "more business", "more businesses")}. Those in trouble come first.`) : null,
  ].filter(Boolean);
}

function business(status, now) {
  const { businessId: id, counts, needsAttention, attentionSince, pausedUntil } = status;
  const heard = status.lastSeenAt ? `, heard from ${ago(seconds(status.lastSeenAt), now)}` : "";
  return html("li", { "data-key": id },
    html("div.alarm-head", {}, businessLink(id), statusBadge(status.overallStatus)),
    html("p.quiet", {}, `${counts.real} real${heard}; ${counts.virtual} virtual.`,
      pausedUntil ? ` Paused until ${clock(seconds(pausedUntil), now)}.` : ""),
    needsAttention ? html("p", {}, attentionSince
      ? `Needs attention for ${duration(now - seconds(attentionSince))}.` : "Needs attention; no cleanup has marked it yet.") : null,
    html("div.actions", {},
      button("Available", "available", { business: id, available: "true" }),
      button("Unavailable", "available", { business: id, available: "false" }),
      pausedUntil ? button("Resume…", "resume", { business: id }) : button("Pause…", "pause", { business: id, reason: "no device is connected" }),
      button("Push a message…", "push", { business: id })));
}

function news(before, after) {
  const known = new Map((before ?? []).map((each) => [each.businessId, each.overallStatus]));
  const changed = (after ?? []).filter((each) => known.has(each.businessId) && known.get(each.businessId) !== each.overallStatus);
  if (changed.length > 2) return [`${changed.length} businesses changed their status.`];
  return changed.map((each) => `${each.businessId} is now ${statusLabel(each.overallStatus)}.`);
}

// Some at a time, so that the emulator is not overrun.
async function forEach(all, work) {
  const waiting = [...all];
  const worker = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) await work(next);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

/** By the value of `data-action`. Each resolves with what to say, once it is done. */
export const DEVICE_ACTIONS = {
  connect: async (_data, submitted) => {
    const wanted = Number(submitted.count);
    await change("POST", "/api/devices", { businessId: submitted.business, count: wanted, spread: wanted > 1 });
    return wanted > 1 ? `Connecting ${wanted} devices.` : `Connecting a device of ${submitted.business}.`;
  },
  device: async ({ device, command }) => {
    await change("POST", `/api/devices/${encodeURIComponent(device)}/${command}`);
    return { silence: "It sends nothing any more.", cut: "Its connection is cut.", close: "It said goodbye.", wake: "It pings again." }[command];
  },
  several: async ({ command, most }) => {
    const { devices } = await get("/api/devices");
    const fit = devices.filter(({ state }) => commands(state).some(([each]) => each === command)).slice(0, Number(most));
    await forEach(fit, ({ id }) => change("POST", `/api/devices/${encodeURIComponent(id)}/${command}`));
    return `Done for ${plural(fit.length, "device")}.`;
  },
  everywhere: async ({ available }) => {
    const { devices } = await get("/api/devices");
    const ids = [...new Set(devices.map(({ businessId }) => businessId))];
    await forEach(ids, (businessId) => change("POST", "/api/availability", { businessId, available: available === "true" }));
    return `Done for ${plural(ids.length, "business", "businesses")}.`;
  },
  available: async ({ business: id, available }) => {
    await change("POST", "/api/availability", { businessId: id, available: available === "true" });
    return available === "true" ? `${id} is available for orders.` : `${id} is not available; its devices are disconnected.`;
  },
};
