// One business: its status and why, its connections, its hours, and what happened to it.

import { businessPath, get } from "./api.js";
import { html, mark } from "./dom.js";
import { ago, clock, duration, percent, plural, seconds } from "./format.js";
import { spans, uptime } from "./history.js";
import { openingHours } from "./hours.js";
import { button, choices, empty, section, table } from "./sections.js";
import { timeline } from "./timeline.js";
import { attentionBadge, statusBadge, statusLabel, STATUSES } from "./words.js";

const RANGES = [[1, "1 h"], [6, "6 h"], [24, "24 h"], [168, "7 days"]];
const MAX_PAGES = 10;

/** @param {string} id @param {{hours?: string}} query @returns {import("./app.js").View} */
export function businessView(id, { hours: asked }) {
  const hours = RANGES.some(([each]) => String(each) === asked) ? Number(asked) : 24;
  // Each round loads the resources in this order. What is known to be absent is not asked for.
  let environment, status;
  return {
    title: id,
    resources: {
      environment: () => (environment = get("/api/environment")),
      status: () => (status = get(businessPath(id, "status"))),
      connections: () => get(businessPath(id, "connections")),
      hours: async () => ((await status).nextChangeAt ? get(businessPath(id, "opening-hours")) : { absent: true }),
      history: async () => ((await environment).feed ? history(id, hours) : { absent: true }),
    },
    render: ({ environment: deployed, status, connections, hours: opening, history: past }, now) => [
      html("div.title", { "data-key": "title" },
        html("h1", { tabindex: "-1" }, id), status.data && statusBadge(status.data.overallStatus), status.data && actions(id, status.data)),
      html("div.columns", { "data-key": "columns" },
        section("Status", status, (data) => statusContent(data, now), { key: "status", now }),
        section("Opening hours", opening, (data) => (data.absent
          ? [empty("online", "None that close it.", "It accepts orders at all times while it is available and not paused.")] : openingHours(data, now)), { key: "hours", now })),
      html("div.columns", { "data-key": "connections" },
        section("Real connections", connections, (data) => realConnections(id, data.real, now), { key: "real", now }),
        section("Virtual connections", connections, (data) => virtualConnections(data.virtual, now), { key: "virtual", now })),
      section("What happened", past, (data) => (data.absent
        ? [empty("unknown", "No history.", "This environment keeps none.")] : happened(data, status.data, deployed.data?.causes ?? {}, now)), {
        key: "history", now,
        aside: choices("Time shown", RANGES.map(([each, text]) => [text, `#/business/${encodeURIComponent(id)}?hours=${each}`, each === hours])),
      }),
    ],
    news: (before, after) => {
      const [old, current] = [before.status.data?.overallStatus, after.status.data?.overallStatus];
      return old && current && old !== current ? [`${id} is now ${statusLabel(current)}.`] : [];
    },
  };
}

async function history(id, hours) {
  const from = new Date(Date.now() - hours * 3_600_000).toISOString().replace(/\.\d+Z/, "Z");
  const path = `${businessPath(id, "history")}?from=${from}`;
  const first = await get(path);
  const transitions = [...first.transitions];
  let { next } = first;
  for (let page = 1; next && page < MAX_PAGES; page += 1) {
    const more = await get(`${businessPath(id, "history")}?from=${first.from}&to=${first.to}&cursor=${encodeURIComponent(next)}`);
    transitions.push(...more.transitions);
    next = more.next;
  }
  return { ...first, transitions, next };
}

function actions(id, status) {
  const paused = status.pausedUntil !== null;
  return html("div.actions", {},
    paused ? button("Resume…", "resume", { business: id }) : null,
    button(paused ? "Change the pause…" : "Pause…", "pause", { business: id }),
    button("Push a message…", "push", { business: id }),
    button("Clean up…", "cleanUp", { business: id }));
}

function statusContent(status, now) {
  const facts = [
    ["Accepts orders", status.isAvailableForOrders ? "yes" : "no"],
    ["Online for customers", status.online === null ? "not known" : status.online ? "yes" : "no"],
    ["Real connections", `${status.counts.real} active`],
    ["Virtual connections", `${status.counts.virtual} active`],
    ["Last heard from", moment(status.lastSeenAt, now)],
    ["Last lease ends", moment(status.virtualUntil, now)],
    ["Declared by", status.declaredBy ?? "nobody"],
    ["Expects a device", status.reasons.some(({ code }) => code === "socket_not_expected") ? "no" : "yes"],
    ["Pause", status.pausedUntil ? `until ${clock(seconds(status.pausedUntil), now)}, by ${status.pausedBy}` : "none"],
  ];
  return [
    status.needsAttention ? html("p.strip.is-alarm", {}, mark("alarm"), html("span", {}, attentionText(status, now))) : null,
    html("p", {}, STATUSES[status.overallStatus]?.[2]),
    html("ul.reasons", { "aria-label": "Reasons" }, status.reasons.map(({ code, detail }) =>
      html("li", { "data-reason": code }, detail))),
    html("dl.facts", {}, facts.map(([name, value]) => html("div", {}, html("dt", {}, name), html("dd", {}, value)))),
  ].filter(Boolean);
}

function attentionText({ attentionSince }, now) {
  if (!attentionSince) return "Needs attention. The next cleanup marks it, and counts from then on.";
  return `Needs attention for ${duration(now - seconds(attentionSince))}, since ${clock(seconds(attentionSince), now)}.`
    + " If no device comes back, call the merchant, or pause it with a reason.";
}

function moment(timestamp, now) {
  return timestamp ? `${ago(seconds(timestamp), now)} (${clock(seconds(timestamp), now)})` : "–";
}

function active(is) {
  return is ? "yes" : html("b", {}, "no longer");
}

function realConnections(id, all, now) {
  if (!all.length) return [empty("unreachable", "None.", "No device is stored as connected.")];
  return [table("Real connections", ["Client", "User", "Last heard from", "Connected", "Active", "Actions"], all.map((each) => ({
    key: each.connectionId,
    cells: [
      html("span", { title: each.connectionId }, [each.deviceId, each.userAgent].filter(Boolean).join(", ") || "not named"),
      each.userId, ago(seconds(each.lastSeenAt), now), ago(seconds(each.connectedAt), now), active(each.active),
      html("span.actions", {}, button("Close…", "close", { business: id, connection: each.connectionId })),
    ],
  })))];
}

function virtualConnections(all, now) {
  if (!all.length) return [empty("offline", "None.", "Nobody holds a lease.")];
  return [table("Virtual connections", ["User", "Lease ends", "Renewed", "Active"], all.map((each) => ({
    key: each.userId,
    cells: [each.userId, html("span", { title: clock(seconds(each.expiresAt), now) }, ago(seconds(each.expiresAt), now)), ago(seconds(each.renewedAt), now), active(each.active)],
  })))];
}

function happened(past, status, causes, now) {
  const recorded = spans(past).at(-1)?.status;
  const ahead = status && recorded && recorded !== status.overallStatus;
  return [
    ahead ? html("p.strip", {}, mark("alarm"), html("span", {},
      `It is ${statusLabel(status.overallStatus)} now. The history does not have that yet: a cleanup records it.`)) : null,
    timeline(past),
    uptimeNumbers(past.seconds),
    html("h3", {}, "Transitions"),
    past.transitions.length ? transitions(past.transitions, causes, now)
      : empty("online", "No transitions.", "Nothing changed in this time."),
    past.next ? html("p.quiet", {}, `Only the latest ${plural(past.transitions.length, "transition")} are shown.`) : null,
  ].filter(Boolean);
}

function uptimeNumbers(sums) {
  const { heard, online, accepting, known, all } = uptime(sums);
  return html("div.uptime", {},
    html("dl.numbers.is-small", {},
      share("A device heard the orders", heard, accepting, "in which it accepted orders"),
      share("Online for customers", online, known, "that are known")),
    html("table.sums", {}, html("caption.hidden", {}, "Time in each status"),
      html("thead", {}, html("tr", {}, ["Status", "Time", "Share"].map((head) => html("th", { scope: "col" }, head)))),
      html("tbody", {}, Object.keys(STATUSES).filter((each) => sums[each]).map((each) =>
        html("tr", {}, html("th", { scope: "row" }, statusBadge(each)), html("td", {}, duration(sums[each])), html("td", {}, percent(sums[each], all)))))));
}

function share(label, part, whole, of) {
  return html("div.number", {}, html("dt", {}, label), html("dd.value", {}, percent(part, whole)),
    html("dd.quiet", {}, `${duration(part)} of ${duration(whole)} ${of}`));
}

function transitions(all, causes, now) {
  return table("Transitions, newest first", ["At", "From", "To", "Attention", "Cause", "By"], all.map((each) => ({
    key: String(each.sequence),
    cells: [
      clock(seconds(each.at), now), statusBadge(each.from), each.from === each.to ? "the same" : statusBadge(each.to),
      each.attention ? attentionBadge(each.attention) : "–", causes[each.cause] ?? each.cause, each.by ?? "–",
    ],
  })));
}
