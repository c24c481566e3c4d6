// Numbers, times and states as people read them.

const GREGORIAN_UNIX_S = 62_167_219_200;
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });
const dayAndClock = new Intl.DateTimeFormat(undefined, {
  dateStyle: "medium",
  timeStyle: "medium",
  hourCycle: "h23",
});

const known = (value) => typeof value === "number" && Number.isFinite(value);

export const count = (value) => (known(value) ? whole.format(value) : "–");

export function rate(value) {
  if (!known(value)) return "–";
  return value === 0 ? "0" : value < 10 ? value.toFixed(1) : whole.format(value);
}

export function milliseconds(value) {
  if (!known(value)) return "–";
  if (value === 0) return "0";
  if (value < 1) return "<1 ms";
  if (value < 10) return `${value.toFixed(1)} ms`;
  if (value < 1000) return `${Math.round(value)} ms`;
  return value < 10_000 ? `${(value / 1000).toFixed(2)} s` : `${(value / 1000).toFixed(1)} s`;
}

export function duration(seconds) {
  if (!known(seconds)) return "–";
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 600) return `${Math.floor(s / 60)} m ${String(s % 60).padStart(2, "0")} s`;
  if (s < 3600) return `${Math.floor(s / 60)} m`;
  const hours = Math.floor(s / 3600);
  if (hours < 48) return `${hours} h ${String(Math.floor((s % 3600) / 60)).padStart(2, "0")} m`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export const fromGregorian = (seconds) => (known(seconds) ? seconds - GREGORIAN_UNIX_S : undefined);

export const toGregorian = (seconds) => Math.floor(seconds) + GREGORIAN_UNIX_S;

/** The time of day; with its date when it was not today. */
export function time(unixSeconds) {
  if (!known(unixSeconds)) return "–";
  const date = new Date(unixSeconds * 1000);
  const today = date.toDateString() === new Date().toDateString();
  return (today ? clock : dayAndClock).format(date);
}

/** Any value as text: JSON indented if it is JSON. */
export function pretty(value) {
  if (value === undefined || value === null) return "";
  if (typeof value !== "string") return JSON.stringify(value, null, 2);
  try {
    const parsed = JSON.parse(value);
    return typeof parsed === "object" && parsed !== null ? JSON.stringify(parsed, null, 2) : value;
  } catch {
    return value;
  }
}
