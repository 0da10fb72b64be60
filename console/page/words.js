// The product's words for statuses, alarms, devices and reasons, and their marks.

import { html, mark } from "./dom.js";

/** By overall status: its mark (also its class in style.css), its label, and what it means. */
export const STATUSES = {
  ONLINE: ["online", "Online", "Accepts orders, and a device is connected."],
  VIRTUAL_ONLY: ["virtual-only", "Virtual only", "Customers can order, but no device is connected to hear it."],
  UNREACHABLE: ["unreachable", "Unreachable", "Accepts orders, but has no active connection at all."],
  CONNECTED_NOT_ACCEPTING: ["not-accepting", "Connected, not accepting", "A device is connected; no orders are accepted."],
  OFFLINE: ["offline", "Offline", "Accepts no orders, and no device is connected."],
  UNKNOWN: ["unknown", "Unknown", "Nobody ever declared this business."],
};

export const ATTENTION = { "virtual-only": "Virtual only", unreachable: "Unreachable" };

const ALARM_STATES = {
  ALARM: ["alarm", "In alarm"],
  OK: ["ok", "OK"],
  INSUFFICIENT_DATA: ["unknown", "No data"],
};

const DEVICE_STATES = {
  connecting: ["unknown", "Connecting"],
  connected: ["online", "Connected"],
  silent: ["virtual-only", "Silent"],
  cut: ["unreachable", "Cut off"],
  closed: ["offline", "Closed"],
  refused: ["unreachable", "Refused"],
};

/** Why a business accepts no orders, by reason code: the class of its pattern, and a label. */
export const NOT_ACCEPTING = {
  paused: ["paused", "Paused"],
  outside_opening_hours: ["closed", "Closed by hours"],
  not_accepting_orders: ["unavailable", "Unavailable"],
};

/** A mark and a label on a tint. @param {string} status An overall status. */
export function statusBadge(status) {
  const [name, label, meaning] = STATUSES[status] ?? ["unknown", status, ""];
  return badge(name, label, meaning);
}

export function alarmBadge(state) {
  return badge(...(ALARM_STATES[state] ?? ["unknown", state]));
}

export function deviceBadge(state) {
  return badge(...(DEVICE_STATES[state] ?? ["unknown", state]));
}

export function attentionBadge(attention) {
  return badge(attention, ATTENTION[attention] ?? attention);
}

/** @param {string} name @param {string} label @param {string} [title] */
export function badge(name, label, title) {
  return html(`span.badge.is-${name}`, { title }, mark(name), label);
}

export function statusLabel(status) {
  return STATUSES[status]?.[1] ?? status;
}
