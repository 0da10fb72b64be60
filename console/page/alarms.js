// The alarms: those that fire first, the others in short.

import { html } from "./dom.js";
import { clock, duration, plural, seconds } from "./format.js";
import { empty, section } from "./sections.js";
import { alarmBadge } from "./words.js";

/** @param {import("./poll.js").Loaded} loaded @param {number} now */
export function alarmPanel(loaded, now) {
  const firing = loaded.data?.alarms.filter(({ state }) => state === "ALARM") ?? [];
  const aside = firing.length ? html("span.count.is-alarm", {}, firing.length) : null;
  return section("Alarms", loaded, ({ alarms }) => show(firing, alarms, now), { key: "alarms", now, aside });
}

function show(firing, alarms, now) {
  if (!alarms.length) return [empty("unknown", "No alarms.", "This environment has none.")];
  const quiet = alarms.filter(({ state }) => state !== "ALARM");
  const blind = quiet.filter(({ state }) => state === "INSUFFICIENT_DATA").length;
  const others = [plural(quiet.length - blind, "alarm"), " OK", blind ? `, ${blind} without data` : ""].join("");
  return [
    firing.length
      ? html("ul.alarms", {}, firing.map((alarm) => html("li.alarm", { "data-key": alarm.name }, ...details(alarm, now))))
      : empty("ok", "None fires.", "On call can sleep."),
    quiet.length
      ? html("details", { "data-key": "quiet-alarms" }, html("summary", {}, others),
        html("ul.alarms.is-quiet", {}, quiet.map((alarm) => html("li", { "data-key": alarm.name }, ...inShort(alarm, now)))))
      : null,
  ].filter(Boolean);
}

function details(alarm, now) {
  return [
    html("div.alarm-head", {}, html("h3", {}, alarm.title), alarmBadge(alarm.state)),
    html("p", {}, alarm.meaning),
    html("p.quiet", {}, alarm.reason),
    html("p.quiet", {}, [severity(alarm), since(alarm, now)].filter(Boolean).join(" · "), " ", runbook(alarm)),
  ];
}

function inShort(alarm, now) {
  return [
    html("div.alarm-head", {}, html("span", {}, alarm.title), alarmBadge(alarm.state)),
    html("p.quiet", {}, since(alarm, now), " ", runbook(alarm)),
  ];
}

function severity({ severity: value }) {
  return value ? value.charAt(0) + value.slice(1).toLowerCase() : "";
}

function since({ since: began }, now) {
  return `for ${duration(now - seconds(began))}, since ${clock(seconds(began), now)}`;
}

function runbook({ runbook: href, section: name, title }) {
  return html("a", { href, target: "_blank", rel: "noopener" }, name ? `Runbook: ${name}` : `Runbook on ${title}`);
}
