// What to try next on the page of devices, and what to expect when.

import { duration, seconds } from "./format.js";

/**
 * One sentence or two about a business in trouble, or else the one whose device changed last.
 * @param {{devices: any[], statuses: any[]}} play
 * @param {any} alarms The alarms, once they are loaded.
 * @param {any} environment
 * @param {number} now
 */
export function nextStep({ devices, statuses }, alarms, environment, now) {
  const firing = alarms?.alarms.some(({ metric, state }) => state === "ALARM" && metric === "VirtualOnlyBusinesses");
  if (!devices.length) return "connect a device. It opens a WebSocket and pings, and its business appears beside it.";
  const status = statuses.find(({ needsAttention }) => needsAttention) ?? statuses[0];
  if (!status) return "wait a moment until the device is connected.";
  const { businessId: id } = status;
  const device = devices.filter(({ businessId }) => businessId === id)
    .reduce((one, other) => (other.since > one.since ? other : one));
  if (status.pausedUntil) return `wake a device of ${id} and resume it. While it is paused, customers cannot order, and no alarm counts it.`;
  switch (status.overallStatus) {
    case "UNKNOWN":
    case "CONNECTED_NOT_ACCEPTING":
      return `declare ${id} available. It is online at once.`;
    case "OFFLINE":
      return `wake a device of ${id}, then declare it available.`;
    case "ONLINE":
      return whileOnline(id, device, status, environment, firing, now);
    default:
      return inTrouble(id, status, environment, firing, now);
  }
}

function whileOnline(id, device, status, environment, firing, now) {
  if (device.state === "silent" && status.counts.real <= 1) {
    const after = environment?.silentAfter;
    if (!after || !status.lastSeenAt) return `wait. Nothing comes from the device of ${id} any more; soon it counts as silent.`;
    return `wait. The device of ${id} is frozen; ${within(seconds(status.lastSeenAt) + after - now)} it counts as silent.`;
  }
  if (firing) return `wait for the next cleanup${cleanupWithin(environment)}: it counts no business in trouble, and the alarm ends.`;
  return `let the device of ${id} go silent, as if it froze. ${silence(environment)} Or cut it off: a lost connection is noticed at once.`;
}

function silence(environment) {
  return environment?.silentAfter ? `In ${environment.silentAfter} s it counts as silent.` : "Soon it counts as silent.";
}

function inTrouble(id, status, environment, firing, now) {
  if (!status.needsAttention) return `nothing: ${id} expects no device.`;
  if (!status.attentionSince) {
    return `wait. Customers can order from ${id}, and nobody hears it. The next cleanup${cleanupWithin(environment)} marks it.`;
  }
  if (firing) return `pause ${id} with a reason, as on call would, or wake its device. The alarm fires: see the page of the fleet.`;
  const grace = seconds(status.attentionSince) + (environment?.attentionGrace ?? 0) - now;
  const alarm = `the next cleanup after that${cleanupWithin(environment)} reports it, and the alarm fires.`;
  return grace > 0
    ? `wait. ${id} is marked. ${capital(within(grace))} its grace is over; ${alarm}`
    : `wait. The grace of ${id} is over: the next cleanup${cleanupWithin(environment)} reports it, and the alarm fires.`;
}

function within(left) {
  return left > 0 ? `in ${duration(left)}` : "any moment";
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function cleanupWithin(environment) {
  return environment?.interval ? ` (within ${environment.interval} s)` : "";
}
