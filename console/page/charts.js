// Line charts (uPlot). A canvas is mute, so each chart has a summary and a table of its values.

import uPlot from "./vendor/uPlot.esm.js";
import { html } from "./dom.js";
import { count, day, hourAndMinute } from "./format.js";

/**
 * @typedef {object} Chart
 * @property {string} key
 * @property {string} title
 * @property {string} about What it shows, in a sentence.
 * @property {Array<{label: string, colour: string, points: Array<[number, number | null]>, dash?: number[]}>} lines
 *   `colour` is the name of a custom property in style.css.
 * @property {{value: number, label: string} | null} [threshold]
 * @property {number} [digits]
 */

const HEIGHT = 150;
const TABLE_ROWS = 12;

/** @type {Map<Element, {plot: uPlot, shape: string}>} */
const drawn = new Map();
const resized = new ResizeObserver((entries) => {
  for (const { target } of entries) drawn.get(target)?.plot.setSize(size(target));
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const { plot } of drawn.values()) plot.redraw();
});

/** The frame of a chart. `drawCharts` fills it once it is in the page. @param {Chart} chart */
export function chartFigure(chart) {
  return html("figure.chart", { "data-key": chart.key },
    html("figcaption", {}, html("h3", {}, chart.title), legend(chart)),
    html("div.canvas", { "data-keep": true, "data-chart": chart.key, role: "img", "aria-label": summary(chart) }),
    html("details", { "data-key": `${chart.key}-values` }, html("summary", {}, "Values",
      html("span.hidden", {}, ` of ${chart.title}`)), valueTable(chart)));
}

/** Draw, or draw again, the charts whose frames are in `root`. @param {Element} root @param {Chart[]} charts */
export function drawCharts(root, charts) {
  for (const chart of charts) {
    const element = root.querySelector(`[data-chart="${chart.key}"]`);
    if (element) draw(element, chart);
  }
  for (const [element, { plot }] of drawn) {
    if (element.isConnected) continue;
    resized.unobserve(element);
    plot.destroy();
    drawn.delete(element);
  }
}

function draw(element, chart) {
  const data = columns(chart);
  const shape = `${data.length} ${chart.threshold?.value}`;
  const known = drawn.get(element);
  if (known?.shape === shape) {
    known.plot.setData(data);
    return;
  }
  known?.plot.destroy();
  element.replaceChildren();
  drawn.set(element, { plot: new uPlot(options(chart, size(element)), data, element), shape });
  resized.observe(element);
}

function columns({ lines, threshold }) {
  const times = lines[0].points.map(([time]) => time);
  const values = lines.map(({ points }) => points.map(([, value]) => value));
  return threshold ? [times, ...values, times.map(() => threshold.value)] : [times, ...values];
}

function size(element) {
  return { width: Math.max(120, element.clientWidth), height: HEIGHT };
}

function options({ lines, threshold, digits = 0 }, { width, height }) {
  const grid = { stroke: () => colour("--line"), width: 1 };
  const axis = { stroke: () => colour("--quiet"), grid, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  const series = lines.map((line) => ({
    label: line.label, stroke: () => colour(line.colour), width: 2, dash: line.dash, spanGaps: false,
    points: { show: (plot, at) => isLonely(plot.data[at]) , size: 4, fill: () => colour(line.colour) },
  }));
  if (threshold) {
    series.push({ label: threshold.label, stroke: () => colour("--alarm"), width: 1.5, dash: [3, 4], points: { show: false } });
  }
  return {
    width, height, series: [{}, ...series],
    cursor: { points: { size: 6 }, drag: { x: false, y: false }, y: false },
    legend: { show: false },
    padding: [8, 20, 0, 0],
    scales: { y: { range: (_plot, _low, high) => [0, highest(high, threshold)] } },
    axes: [
      { ...axis, size: 24, gap: 4, space: 64, values: (_plot, times) => times.map((time) => timeLabel(time, times)) },
      { ...axis, size: 40, gap: 4, space: 32, values: (_plot, values) => values.map((v) => (digits || Number.isInteger(v) ? compact(v) : "")) },
    ],
  };
}

// A point between two gaps would not be seen as a line.
function isLonely(values) {
  return values.filter((value) => value !== null).length < 2;
}

function highest(high, threshold) {
  const most = Math.max(high ?? 0, threshold ? threshold.value * 1.25 : 0, 1);
  return most * 1.1;
}

function timeLabel(time, times) {
  const wide = times.length > 1 && times.at(-1) - times[0] > 2 * 86400;
  return wide ? day(time) : hourAndMinute(time);
}

function compact(value) {
  return value >= 10_000 ? `${count(value / 1000)}k` : count(value);
}

// A custom property may hold light-dark(…): only a used colour is resolved.
function colour(name) {
  const probe = document.getElementById("colour-probe");
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

function legend({ lines, threshold, digits = 0 }) {
  const entries = lines.map(({ label, colour: name, points }) =>
    html("li", {}, html(`i.swatch.line${name}`), `${label} `, html("b", {}, shown(latest(points)?.[1], digits))));
  if (threshold) entries.push(html("li", {}, html("i.swatch.line--threshold"), threshold.label));
  return html("ul.legend", {}, entries);
}

/** The last point with a value, if there is any. @param {Array<[number, number | null]>} points */
export function latest(points) {
  return points.findLast(([, value]) => value !== null) ?? null;
}

function shown(value, digits) {
  return value === null || value === undefined ? "–" : digits ? value.toFixed(digits) : count(value);
}

function summary(chart) {
  const parts = chart.lines.map(({ label, points }) => {
    const values = points.map(([, value]) => value).filter((value) => value !== null);
    if (!values.length) return `${label}: no values`;
    const [low, high, last] = [Math.min(...values), Math.max(...values), values.at(-1)].map((v) => shown(v, chart.digits));
    return `${label}: now ${last}, from ${low} to ${high}`;
  });
  const limit = chart.threshold ? ` ${chart.threshold.label}.` : "";
  return `${chart.about} ${parts.join(". ")}.${limit}`;
}

function valueTable({ title, lines, digits }) {
  const rows = lines[0].points.map(([time], at) => [time, ...lines.map(({ points }) => points[at]?.[1])]).slice(-TABLE_ROWS).reverse();
  return html("table.values", {}, html("caption.hidden", {}, `${title}: the last values`),
    html("thead", {}, html("tr", {}, ["Time", ...lines.map(({ label }) => label)].map((h) => html("th", { scope: "col" }, h)))),
    html("tbody", {}, rows.map(([time, ...values]) => html("tr", {}, html("th", { scope: "row" }, hourAndMinute(time)),
      values.map((value) => html("td", {}, shown(value, digits)))))));
}
