// What the history of a business tells about each moment of a window.

import { seconds } from "./format.js";

/**
 * @typedef {object} Span What is known of a business between two moments (seconds since the epoch).
 * @property {number} start
 * @property {number} end
 * @property {string} status
 * @property {string | null} attention
 * @property {string[] | null} reasons What the status rested on when it began; null if that lies before the window.
 */

/**
 * The spans of a window, oldest first.
 * @param {{from: string, to: string, transitions: any[], seconds: Record<string, number>}} history All its transitions, newest first.
 * @returns {Span[]}
 */
export function spans(history) {
  const [start, end] = [seconds(history.from), seconds(history.to)];
  const oldestFirst = history.transitions.toReversed();
  if (!oldestFirst.length) return withoutTransitions(history.seconds, start, end);
  const [first] = oldestFirst;
  const found = [{ start, end: seconds(first.at), status: first.from, attention: null, reasons: null }];
  for (const transition of oldestFirst) {
    const at = seconds(transition.at);
    found.at(-1).end = at;
    found.push({ start: at, end, status: transition.to, attention: transition.attention, reasons: transition.reasons });
  }
  return found.filter((span) => span.end > span.start);
}

// `seconds` then has one status, perhaps after a time that is not known.
function withoutTransitions(sums, start, end) {
  const unknown = sums.UNKNOWN ?? 0;
  const status = Object.keys(sums).find((each) => each !== "UNKNOWN");
  const known = start + (status ? unknown : end - start);
  const all = [
    { start, end: known, status: "UNKNOWN", attention: null, reasons: null },
    { start: known, end, status: status ?? "UNKNOWN", attention: null, reasons: null },
  ];
  return all.filter((span) => span.end > span.start);
}

/**
 * Neighbours that look the same in a lane become one.
 * @template T
 * @param {Span[]} all
 * @param {(span: Span) => T | null} look What the lane shows of a span; null for nothing.
 * @returns {Array<{start: number, end: number, look: T}>}
 */
export function lane(all, look) {
  const found = [];
  for (const span of all) {
    const seen = look(span);
    const last = found.at(-1);
    if (last && last.end === span.start && last.look === seen) last.end = span.end;
    else found.push({ start: span.start, end: span.end, look: seen });
  }
  return found.filter((each) => each.look !== null);
}

/** Whether a device was connected: the status itself says so. */
export function hadDevice({ status }) {
  return status === "ONLINE" || status === "CONNECTED_NOT_ACCEPTING";
}

/** "yes", "no", or "then": it was so when the span began, and the history does not tell until when. */
export function hadLease({ status, reasons }) {
  if (status === "VIRTUAL_ONLY") return "yes";
  if (status === "UNREACHABLE") return "no";
  return reasons?.includes("virtual_connection_active") ? "then" : "no";
}

/**
 * How well the business could be reached.
 * @param {Record<string, number>} sums Seconds by status.
 */
export function uptime(sums) {
  const of = (...statuses) => statuses.reduce((sum, status) => sum + (sums[status] ?? 0), 0);
  return {
    heard: of("ONLINE"),
    online: of("ONLINE", "VIRTUAL_ONLY"),
    accepting: of("ONLINE", "VIRTUAL_ONLY", "UNREACHABLE"),
    known: of("ONLINE", "VIRTUAL_ONLY", "UNREACHABLE", "CONNECTED_NOT_ACCEPTING", "OFFLINE"),
    all: Object.values(sums).reduce((sum, value) => sum + value, 0),
  };
}
