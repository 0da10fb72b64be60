// Times, durations and shares, as people read them.

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const SHORT = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const NUMBER = new Intl.NumberFormat("en-GB");

/** @param {string} timestamp An RFC 3339 time. @returns {number} Seconds since the epoch. */
export function seconds(timestamp) {
  return Date.parse(timestamp) / 1000;
}

/** The clock with seconds, and the day unless it is today. */
export function clock(epoch, now = Date.now() / 1000) {
  return withDay(CLOCK, epoch, now);
}

/** The clock without seconds, and the day unless it is today. */
export function shortClock(epoch, now = Date.now() / 1000) {
  return withDay(SHORT, epoch, now);
}

export function hourAndMinute(epoch) {
  return SHORT.format(epoch * 1000);
}

export function day(epoch) {
  return DAY.format(epoch * 1000);
}

function withDay(format, epoch, now) {
  const date = new Date(epoch * 1000);
  const today = date.toDateString() === new Date(now * 1000).toDateString();
  return today ? format.format(date) : `${DAY.format(date)}, ${format.format(date)}`;
}

/** A duration with its two largest units: "42 s", "3 min", "2 h 05 min", "4 d 3 h". */
export function duration(total) {
  const all = Math.max(0, Math.round(total));
  if (all < 90) return `${all} s`;
  const minutes = Math.floor(all / 60);
  if (minutes < 10) return all % 60 ? `${minutes} min ${all % 60} s` : `${minutes} min`;
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return hours % 24 ? `${Math.floor(hours / 24)} d ${hours % 24} h` : `${Math.floor(hours / 24)} d`;
}

/** "12 s ago", or "in 12 s" for what lies ahead. */
export function ago(epoch, now) {
  return epoch > now + 1 ? `in ${duration(epoch - now)}` : `${duration(now - epoch)} ago`;
}

export function count(value) {
  return NUMBER.format(value);
}

/** "1 device", "2 devices". */
export function plural(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** A share in percent. It says 100 or 0 only if that is exact. */
export function percent(part, whole) {
  if (!whole) return "–";
  const value = (100 * part) / whole;
  if (value === 0 || value === 100) return `${value} %`;
  if (value > 99.9) return "> 99.9 %";
  if (value < 0.1) return "< 0.1 %";
  return `${value.toFixed(1)} %`;
}
