// The fleet: how many businesses can hear their orders, which cannot, and what the alarms say.

import { get, getPages } from "./api.js";
import { alarmPanel } from "./alarms.js";
import { chartFigure, drawCharts, latest } from "./charts.js";
import { html, mark } from "./dom.js";
import { ago, clock, count, plural } from "./format.js";
import { choices, content, section } from "./sections.js";
import { troublePanel } from "./trouble.js";

const RANGES = [[1, "1 h"], [3, "3 h"], [24, "24 h"], [168, "7 d"]];

const FEWEST_POINTS = 16;

const NUMBERS = [
  ["OnlineBusinesses", "online", "Online", "customers can order"],
  ["VirtualOnlyBusinesses", "virtual-only", "Virtual only", "no device hears the orders"],
  ["UnreachableBusinesses", "unreachable", "Unreachable", "no connection at all"],
  ["ClosedBusinesses", "offline", "Closed", "accept no orders now"],
];

const attention = (kind) => () =>
  getPages(`/api/rest/businesses?attention=${kind}&limit=100`, (page) => page.businesses);

/** @param {{hours?: string}} query @returns {import("./app.js").View} */
export function fleetView({ hours: asked }) {
  const hours = RANGES.some(([each]) => String(each) === asked) ? Number(asked) : 3;
  return {
    title: "Fleet",
    resources: {
      environment: () => get("/api/environment"),
      metrics: () => get(`/api/metrics?hours=${hours}`),
      alarms: () => get("/api/alarms"),
      virtualOnly: attention("virtual-only"),
      unreachable: attention("unreachable"),
    },
    render: ({ metrics, alarms, virtualOnly, unreachable }, now) => [
      html("div.title", { "data-key": "title" }, html("h1", { tabindex: "-1" }, "Fleet"), asOf(metrics.data, now)),
      ...content(metrics, (data) => [numbers(data)], now).map((part) => keyed(part, "numbers")),
      html("div.columns", { "data-key": "columns" },
        troublePanel([virtualOnly, unreachable], now), alarmPanel(alarms, now)),
      section("Over time", metrics, (data) => [html("div.charts", {}, charts(data, alarms.data).map(chartFigure))], {
        key: "charts", now,
        aside: choices("Time shown", RANGES.map(([each, text]) => [text, `#/?hours=${each}`, each === hours])),
      }),
    ],
    drawn: (root, { metrics, alarms }) => {
      if (metrics.data) drawCharts(root, charts(metrics.data, alarms.data));
    },
    news: (before, after) => [
      ...alarmNews(before.alarms.data, after.alarms.data),
      ...troubleNews(inTrouble(before), inTrouble(after)),
    ],
  };
}

function keyed(node, key) {
  node.setAttribute("data-key", node.classList.contains("strip") ? `${key}-strip` : key);
  return node;
}

function asOf(metrics, now) {
  const last = metrics && latest(metrics.series.OnlineBusinesses ?? []);
  if (!last) return html("p.quiet", {}, metrics ? "No census in this time." : "");
  return html("p.quiet", {}, `Census of ${clock(last[0], now)}, ${ago(last[0], now)}`);
}

function numbers({ series }) {
  return html("dl.numbers", {}, NUMBERS.map(([name, kind, label, meaning]) => {
    const value = latest(series[name] ?? [])?.[1];
    const calm = kind === "online" || kind === "offline" || !value;
    return html(`div.number.is-${kind}${calm ? "" : ".is-trouble"}`, { "data-key": kind },
      html("dt", {}, mark(kind), label),
      html("dd.value", {}, value === undefined || value === null ? "–" : count(value)),
      html("dd.quiet", {}, meaning));
  }));
}

function charts({ series }, alarms) {
  const begin = beginning(series);
  const of = (name) => (series[name] ?? []).slice(begin);
  // Nothing is published where nothing happened.
  const counts = (name) => of(name).map(([time, value]) => /** @type {[number, number]} */ ([time, value ?? 0]));
  const real = of("RealConnections");
  const virtual = of("VirtualConnections");
  const ratio = real.map(([time, value], at) => {
    const whole = virtual[at]?.[1];
    return /** @type {[number, number | null]} */ ([time, value === null || !whole ? null : value / whole]);
  });
  const all = [
    {
      key: "connections", title: "Connections", about: "Active real and virtual connections.",
      lines: [{ label: "Real", colour: "--real", points: real }, { label: "Virtual", colour: "--virtual", points: virtual, dash: [6, 3] }],
    },
    {
      key: "ratio", title: "Real connections per virtual one", about: "How many real connections there are for each virtual one.",
      lines: [{ label: "Ratio", colour: "--real", points: ratio }], digits: 2,
    },
    {
      key: "virtual-only", title: "Virtual-only businesses", about: "Businesses that customers see open and that have no device.",
      lines: [{ label: "Virtual only", colour: "--virtual-only", points: of("VirtualOnlyBusinesses") }], threshold: threshold(alarms, "VirtualOnlyBusinesses"),
    },
    {
      key: "unreachable", title: "Unreachable businesses", about: "Businesses that accept orders and have no connection.",
      lines: [{ label: "Unreachable", colour: "--unreachable", points: of("UnreachableBusinesses") }], threshold: threshold(alarms, "UnreachableBusinesses"),
    },
    {
      key: "removed", title: "Removed by the cleanup", about: "Connections that the cleanup removed.",
      lines: [{ label: "Stale real", colour: "--real", points: counts("StaleRealRemoved") }, { label: "Expired virtual", colour: "--virtual", points: counts("ExpiredVirtualRemoved"), dash: [6, 3] }],
    },
    {
      key: "coming", title: "Devices that came and went", about: "Devices that connected and disconnected.",
      lines: [{ label: "Connected", colour: "--real", points: counts("Connected") }, { label: "Disconnected", colour: "--virtual", points: counts("Disconnected"), dash: [6, 3] }],
    },
  ];
  return all.filter(({ lines }) => lines[0].points.length);
}

// A new environment has no values for most of the time: draw from the first one, but not too little.
function beginning(series) {
  const lines = Object.values(series);
  const first = Math.min(...lines.map((points) => points.findIndex(([, value]) => value !== null)).filter((at) => at >= 0));
  const length = Math.max(0, ...lines.map((points) => points.length));
  return Math.max(0, Math.min(first, length - FEWEST_POINTS));
}

function threshold(alarms, metric) {
  const found = alarms?.alarms.find((alarm) => alarm.metric === metric && alarm.threshold !== null);
  return found ? { value: found.threshold, label: `Alarm at ${count(found.threshold)}` } : null;
}

function alarmNews(before, after) {
  if (!before || !after) return [];
  const states = new Map(before.alarms.map(({ name, state }) => [name, state]));
  return after.alarms
    .filter(({ name, state }) => states.get(name) !== state && (state === "ALARM" || states.get(name) === "ALARM"))
    .map(({ title, state }) => (state === "ALARM" ? `Alarm: ${title}.` : `Alarm over: ${title}.`));
}

function inTrouble({ virtualOnly, unreachable }) {
  if (!virtualOnly.data || !unreachable.data) return null;
  return virtualOnly.data.entries.length + unreachable.data.entries.length;
}

function troubleNews(before, after) {
  if (before === null || after === null || before === after) return [];
  return [after ? `${plural(after, "business needs", "businesses need")} attention.` : "No business needs attention."];
}
