// Numbers and moments as a person reads them.

const FINAL = new Set(["Completed", "Failed", "Canceled"]);

export function isFinal(status) {
  return FINAL.has(status);
}

export function duration(seconds) {
  if (!Number.isFinite(seconds) || seconds < 0) return "";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.round(hours / 24)} days`;
}

export function milliseconds(value) {
  if (!Number.isFinite(value)) return "–";
  return value < 10 ? `${value.toFixed(1)} ms` : value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`;
}

export function count(value) {
  return Number.isFinite(value) ? value.toLocaleString("en") : "–";
}

export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

export function score(value) {
  return Number.isFinite(value) ? value.toFixed(4) : "–";
}

export function moment(iso) {
  return iso ? new Date(iso).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" }) : "";
}

export function ago(iso, now = Date.now()) {
  const seconds = (now - new Date(iso).getTime()) / 1000;
  return seconds < 0 ? `in ${rough(-seconds)}` : seconds < 5 ? "just now" : `${rough(seconds)} ago`;
}

function rough(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 129600 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} days`;
}

export function elapsed(started, ended, now = Date.now()) {
  if (!started) return "";
  return duration(((ended ? new Date(ended).getTime() : now) - new Date(started).getTime()) / 1000);
}

export function short(id) {
  return id.length > 13 ? `${id.slice(0, 8)}…` : id;
}

// A step's file by its own name; other outputs as they are.
export function output(value) {
  return value.startsWith("file:") ? value.replace(/#.*$/, "").replace(/^.*\//, "") : value;
}
