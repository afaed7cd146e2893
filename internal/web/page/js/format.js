// How times, durations and numbers are written. Times are those of the app's zone, whatever the browser's is.
import { language, t } from "./words.js";

let zone = "UTC";
const formats = new Map();

export function setZone(name) {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    zone = name;
  } catch {
    zone = "UTC"; // A zone that the browser does not know.
  }
}

function format(timeZone, options) {
  const key = timeZone + JSON.stringify(options);
  if (!formats.has(key)) formats.set(key, new Intl.DateTimeFormat("en-US", { timeZone, hourCycle: "h23", ...options }));
  return formats.get(key);
}

function parts(date) {
  const options = { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit" };
  return Object.fromEntries(format(zone, options).formatToParts(date).map((p) => [p.type, p.value]));
}

function toDate(time) {
  const date = time instanceof Date ? time : new Date(time);
  return Number.isNaN(date.getTime()) ? null : date;
}

// stamp is 2026-11-29 12:03:04.
export function stamp(time) {
  const date = toDate(time);
  if (!date) return "–";
  const p = parts(date);
  return `${p.year}-${p.month}-${p.day} ${p.hour}:${p.minute}:${p.second}`;
}

// moment is 12:03:04, with the day before it unless that is today.
export function moment(time, now = new Date()) {
  const text = stamp(time);
  return text.slice(0, 10) === stamp(now).slice(0, 10) ? text.slice(11) : text;
}

// span is from one time to another; the day of the second one is left out where it is that of the first.
export function span(from, to, now = new Date()) {
  const [begin, end] = [stamp(from), stamp(to)];
  return begin.slice(0, 10) === end.slice(0, 10) ? `${moment(from, now)} – ${end.slice(11)}` : `${begin} – ${end}`;
}

// local is the wall clock of the zone: the day as 2026-11-29, and the hour.
export function local(date) {
  const p = parts(date);
  return { day: `${p.year}-${p.month}-${p.day}`, hour: Number(p.hour), minute: Number(p.minute) };
}

// offsetOf is by how many milliseconds the zone is ahead of UTC then.
export function offsetOf(date) {
  const p = parts(date);
  return Date.UTC(p.year, p.month - 1, p.day, p.hour, p.minute, p.second) - Math.floor(date.getTime() / 1000) * 1000;
}

// instant reads "2026-11-29 12:03:04" as a time of the zone; null if it is none.
export function instant(text) {
  const m = /^\s*(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d)(?::(\d\d))?\s*$/.exec(text);
  if (!m) return null;
  const wall = Date.UTC(m[1], m[2] - 1, m[3], m[4], m[5], m[6] ?? 0);
  const date = new Date(wall - offsetOf(new Date(wall)));
  return stamp(date).startsWith(`${m[1]}-${m[2]}-${m[3]} ${m[4]}:${m[5]}`) ? date : null;
}

// zoneName is Asia/Shanghai (UTC+08:00).
export function zoneName(at = new Date()) {
  const minutes = Math.round(offsetOf(at) / 60000);
  const two = (n) => String(Math.floor(n)).padStart(2, "0");
  return `${zone} (UTC${minutes < 0 ? "−" : "+"}${two(Math.abs(minutes) / 60)}:${two(Math.abs(minutes) % 60)})`;
}

// duration has two units: 6 m 30 s.
export function duration(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "–";
  const sign = seconds < 0 ? "−" : "";
  const s = Math.abs(seconds);
  if (s < 1 && s > 0) return sign + t("unit.ms", { n: Math.round(s * 1000) });
  if (s < 10 && s % 1 >= 0.05) return sign + t("unit.s", { n: s.toFixed(1) });
  const n = Math.round(s);
  const pair = (big, size, small, smallSize) => {
    const rest = Math.floor((n % size) / smallSize);
    return t(big, { n: Math.floor(n / size) }) + (rest > 0 ? ` ${t(small, { n: rest })}` : "");
  };
  if (n < 60) return sign + t("unit.s", { n });
  if (n < 3600) return sign + pair("unit.m", 60, "unit.s", 1);
  if (n < 86400) return sign + pair("unit.h", 3600, "unit.m", 60);
  return sign + pair("unit.d", 86400, "unit.h", 3600);
}

// brief has one unit: 2 h, 1.5 h.
export function brief(seconds) {
  if (seconds > 0 && seconds < 1) return duration(seconds);
  const [unit, size] = [["unit.d", 86400], ["unit.h", 3600], ["unit.m", 60], ["unit.s", 1]].find(([, n]) => Math.abs(seconds) >= n) ?? ["unit.s", 1];
  return t(unit, { n: Number((seconds / size).toFixed(1)) });
}

// count groups digits; rate keeps one decimal below ten.
export function count(n) {
  return n === null || n === undefined ? "–" : new Intl.NumberFormat(language() === "zh" ? "zh-CN" : "en-US", { maximumFractionDigits: 0 }).format(n);
}

export function rate(n) {
  if (n === null || n === undefined) return "–";
  return n > 0 && n < 10 ? n.toFixed(1) : count(n);
}
