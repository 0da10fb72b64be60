// The opening hours of a business: the week as a picture, and the same as a table.

import { html, svg } from "./dom.js";
import { ago, clock, seconds } from "./format.js";

const DAYS = [["mo", "Mon"], ["tu", "Tue"], ["we", "Wed"], ["th", "Thu"], ["fr", "Fri"], ["sa", "Sat"], ["su", "Sun"]];
const ROW = 18;
const LEFT = 36;

/** @param {any} answer The answer of GET …/opening-hours. @param {number} now */
export function openingHours(answer, now) {
  const { openingHours: hours, openNow, nextChangeAt } = answer;
  const change = nextChangeAt ? ` It ${openNow ? "closes" : "opens"} ${ago(seconds(nextChangeAt), now)}, at ${clock(seconds(nextChangeAt), now)}.` : "";
  const exceptions = Object.entries(hours.exceptions);
  return [
    html("p", {}, html("strong", {}, openNow ? "Open now." : "Closed now."), change),
    week(hours),
    html("p.quiet", {}, `Times of ${hours.timeZone}.`),
    exceptions.length
      ? html("details", { "data-key": "exceptions" }, html("summary", {}, `Exceptions (${exceptions.length})`),
        html("ul", {}, exceptions.map(([date, intervals]) => html("li", {}, `${date}: ${inWords(intervals)}`))))
      : null,
  ].filter(Boolean);
}

function week({ weekly }) {
  const intervals = DAYS.flatMap(([name], row) => (weekly[name] ?? []).flatMap(([start, end]) => bars(row, minutes(start), minutes(end))));
  const label = DAYS.map(([name, short]) => `${short} ${inWords(weekly[name] ?? [])}`).join("; ");
  const height = DAYS.length * ROW + 16;
  return svg("svg.week", { viewBox: `0 0 ${LEFT + 324} ${height}`, role: "img", "aria-label": `Open: ${label}` },
    DAYS.map(([, short], row) => [
      svg("text", { x: 0, y: row * ROW + 12 }, short),
      svg("rect.lane", { x: LEFT, y: row * ROW + 2, width: 312, height: ROW - 5, rx: 2 }),
    ]),
    intervals.map(({ row, from, to }) =>
      svg("rect.open", { x: LEFT + from * 13 / 60, y: row * ROW + 2, width: (to - from) * 13 / 60, height: ROW - 5, rx: 2 })),
    [0, 6, 12, 18, 24].map((hour) => [
      svg("line.grid", { x1: LEFT + hour * 13, x2: LEFT + hour * 13, y1: 0, y2: DAYS.length * ROW }),
      svg("text", { x: LEFT + hour * 13, y: height - 4, "text-anchor": "middle" }, String(hour)),
    ]));
}

// An end that is not later than the start is on the next day.
function bars(row, from, to) {
  if (to > from) return [{ row, from, to }];
  const rest = to > 0 ? [{ row: (row + 1) % DAYS.length, from: 0, to }] : [];
  return [{ row, from, to: 24 * 60 }, ...rest];
}

function minutes(time) {
  const [hour, minute] = time.split(":").map(Number);
  return hour * 60 + minute;
}

function inWords(intervals) {
  return intervals.length ? intervals.map(([start, end]) => `${start} to ${end}`).join(", ") : "closed";
}
