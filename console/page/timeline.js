// The timeline of a business, drawn from its history. Patterns and labels tell what colours tell.

import { html, svg } from "./dom.js";
import { clock, duration, hourAndMinute, seconds, shortClock } from "./format.js";
import { hadDevice, hadLease, lane, spans } from "./history.js";
import { ATTENTION, NOT_ACCEPTING, STATUSES, statusLabel } from "./words.js";

const LANES = [
  { title: "Status", height: 28, look: ({ status }) => status, name: (status) => STATUSES[status]?.[0] ?? "unknown", label: statusLabel },
  { title: "Needs attention", height: 12, look: ({ attention }) => attention, name: (kind) => `attention-${kind}`, label: (kind) => ATTENTION[kind] },
  { title: "Real connections", height: 12, look: (span) => (hadDevice(span) ? "real" : null), name: (look) => look, label: () => "At least one" },
  {
    title: "Virtual connections", height: 12, look: (span) => ({ yes: "virtual", then: "virtual-then", no: null })[hadLease(span)],
    name: (look) => look, label: (look) => (look === "virtual" ? "At least one" : "At least one at the beginning"),
  },
  {
    title: "Not accepting, because", height: 18, look: ({ reasons }) => reasons?.find((reason) => reason in NOT_ACCEPTING) ?? null,
    name: (reason) => NOT_ACCEPTING[reason][0], label: (reason) => NOT_ACCEPTING[reason][1],
  },
];
const SAID = 8; // statuses in the summary
const SHORTEST = 60; // seconds
const TITLE = 15;
const GAP = 7;
const AXIS = 18;
const LABELLED = 7; // percent of the width that a label needs

/** @param {any} history The document, with all its transitions. */
export function timeline(history) {
  const all = spans(history);
  const to = seconds(history.to);
  const from = beginning(all, seconds(history.from), to);
  const x = (moment) => (100 * (moment - from)) / (to - from);
  let y = 0;
  const drawn = LANES.map((each) => {
    const top = y;
    y += TITLE + each.height + GAP;
    return drawLane(each, lane(all, each.look), top, x);
  });
  return html("div.timeline", {},
    html("div", { role: "img", "aria-label": summary(all, from, to) },
      svg("svg", { "aria-hidden": "true", width: "100%", height: y + AXIS }, patterns(), drawn, axis(from, to, x, y))),
    legend());
}

// A new business is unknown for most of the time: draw little of that.
function beginning(all, from, to) {
  if (all.length < 2 || all[0].status !== "UNKNOWN") return from;
  const known = to - all[0].end;
  return Math.max(from, all[0].end - Math.max(known * 0.15, SHORTEST - known));
}

function drawLane({ title, height, name, label }, parts, top, x) {
  return svg("g", {},
    svg("text.lane-title", { x: 0, y: top + 10 }, title),
    svg("rect.lane", { x: 0, y: top + TITLE, width: "100%", height }),
    parts.map(({ start, end, look }) => {
      const left = Math.max(0, x(start));
      const width = x(end) - left;
      const text = label(look);
      // An SVG inside clips a label that is too long.
      return svg("svg", { x: `${left}%`, y: top + TITLE, width: `${Math.max(width, 0.2)}%`, height },
        svg(`rect.span.is-${name(look)}`, { width: "100%", height }),
        svg("rect", { width: "100%", height, fill: `url(#pattern-${name(look)}) none` }),
        width > LABELLED && height > 14
          ? svg("text.span-label", { x: "50%", y: height / 2 + 4, "text-anchor": "middle" }, text) : null,
        svg("title", {}, `${text}: ${clock(start)} to ${clock(end)}, ${duration(end - start)}`));
    }));
}

// One pattern for each kind of span that is not plain.
function patterns() {
  const line = (d) => svg("path.pattern-line", { d });
  const pattern = (name, size, ...marks) =>
    svg("pattern", { id: `pattern-${name}`, width: size, height: size, patternUnits: "userSpaceOnUse" }, marks);
  return svg("defs", {},
    pattern("virtual-only", 8, line("M-2 2 2-2M0 8 8 0M6 10 10 6")),
    pattern("attention-virtual-only", 8, line("M-2 2 2-2M0 8 8 0M6 10 10 6")),
    pattern("unreachable", 7, line("M0 0 7 7M0 7 7 0")),
    pattern("attention-unreachable", 7, line("M0 0 7 7M0 7 7 0")),
    pattern("not-accepting", 6, line("M3 0V6")),
    pattern("paused", 6, line("M3 0V6")),
    pattern("offline", 6, svg("circle.pattern-dot", { cx: 3, cy: 3, r: 1 })),
    pattern("closed", 6, svg("circle.pattern-dot", { cx: 3, cy: 3, r: 1 })),
    pattern("unavailable", 6, line("M0 3H6")),
    pattern("virtual-then", 5, line("M0 2.5H5")),
    pattern("unknown", 10, svg("circle.pattern-dot", { cx: 5, cy: 5, r: 0.8 })));
}

function axis(from, to, x, top) {
  const step = [15, 30, 60, 120, 300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 86400, 2 * 86400].find((each) => (to - from) / each <= 7) ?? 7 * 86400;
  const offset = new Date(from * 1000).getTimezoneOffset() * 60;
  const first = Math.ceil((from - offset) / step) * step + offset;
  const moments = Array.from({ length: Math.max(0, Math.ceil((to - first) / step)) }, (_, at) => first + at * step);
  return svg("g.axis", {}, moments.map((moment) => [
    svg("line", { x1: `${x(moment)}%`, x2: `${x(moment)}%`, y1: TITLE, y2: top }),
    x(moment) > 3 && x(moment) < 97
      ? svg("text", { x: `${x(moment)}%`, y: top + 11, "text-anchor": "middle" }, step >= 86400 ? shortDay(moment) : step < 60 ? clock(moment) : hourAndMinute(moment)) : null,
  ]));
}

function shortDay(moment) {
  return new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric" }).format(moment * 1000);
}

function legend() {
  return html("p.quiet", {}, "Pale virtual connections: at least one was active when that status began; the history does not"
    + " tell until when. The last minutes can still change: the next cleanup records what only time changed.");
}

function summary(all, from, to) {
  const statuses = lane(all, ({ status }) => status);
  const shown = statuses.slice(-SAID).map(({ look, start, end }) => `${statusLabel(look)} from ${shortClock(start)} for ${duration(end - start)}`);
  const earlier = statuses.length > SAID ? `${statuses.length - SAID} earlier statuses, then ` : "";
  return `Statuses from ${shortClock(from)} to ${shortClock(to)}: ${earlier}${shown.join("; ")}. The table of transitions has all.`;
}
