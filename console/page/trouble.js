// The businesses that need attention, the longest first, and what one can do about each.

import { html } from "./dom.js";
import { ago, clock, count, duration, plural, seconds } from "./format.js";
import { businessLink, button, empty, section, table } from "./sections.js";
import { attentionBadge } from "./words.js";

const SHOWN = 100;

/**
 * @param {import("./poll.js").Loaded[]} lists The pages of each kind of attention.
 * @param {number} now
 */
export function troublePanel(lists, now) {
  const entries = lists.flatMap(({ data }) => data?.entries ?? [])
    .sort((one, other) => seconds(one.since) - seconds(other.since));
  const more = lists.some(({ data }) => data?.more);
  const loaded = together(lists);
  const aside = loaded.data && entries.length
    ? html("span.count", {}, `${count(entries.length)}${more ? "+" : ""}`) : null;
  return section("Businesses in trouble", loaded, () => show(entries, more, now), { key: "trouble", now, aside });
}

// One list alone would look as if it were all.
function together(lists) {
  const loaded = lists.every(({ data }) => data !== null);
  return {
    data: loaded ? lists : null,
    error: lists.find(({ error }) => error)?.error ?? null,
    at: loaded ? Math.min(...lists.map(({ at }) => at)) : null,
  };
}

function show(entries, more, now) {
  if (!entries.length) {
    return [empty("online", "None.", "Every business that accepts orders has a device that hears them.")];
  }
  const hidden = entries.length - SHOWN;
  return [
    html("p.advice", {}, "Open one to see why. If no device comes back, call the merchant, or pause the"
      + " business with a reason so that customers cannot order."),
    table("Businesses in trouble, the longest first", ["Business", "Attention", "For", "Why", "Actions"],
      entries.slice(0, SHOWN).map((entry) => row(entry, now))),
    hidden > 0 || more
      ? html("p.quiet", {}, `${hidden > 0 ? `${plural(hidden, "more business", "more businesses")} loaded` : "There are more"}, not shown.`)
      : null,
  ].filter(Boolean);
}

function row({ businessId, since, status }, now) {
  const began = seconds(since);
  return {
    key: businessId,
    cells: [
      businessLink(businessId),
      attentionBadge(status.needsAttention ?? "unreachable"),
      html("time", { datetime: since, title: `Since ${clock(began, now)}` }, duration(now - began)),
      why(status, now),
      html("span.actions", {}, button("Pause…", "pause", { business: businessId, reason: "no device is connected" })),
    ],
  };
}

function why(status, now) {
  const heard = status.lastSeenAt
    ? `A device was last heard from ${ago(seconds(status.lastSeenAt), now)}.` : "No device is stored.";
  const lease = status.virtualUntil ? ` The lease lasts another ${duration(seconds(status.virtualUntil) - now)}.` : " No lease is left.";
  return html("span.quiet", {}, heard, lease);
}
