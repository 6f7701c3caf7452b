// Reads a resource again and again, in bounds: seldom while nothing happens, not at all while nobody looks, and an answer that is
// the one before costs an empty 304.

const BUSY_MILLISECONDS = 1500;
const IDLE_MILLISECONDS = 6000;
const LONGEST_MILLISECONDS = 30000;
const TIMEOUT_MILLISECONDS = 20000;

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export async function read(path, etag, signal) {
  const headers = etag ? { "If-None-Match": etag } : {};
  const timeout = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MILLISECONDS)]);
  const answer = await fetch(path, { headers, signal: timeout, cache: "no-store", credentials: "same-origin" });
  if (answer.status === 304) return { etag, changed: false };
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new Refused(answer.status, body?.error?.message ?? `the server answered HTTP ${answer.status}`);
  return { etag: answer.headers.get("ETag"), changed: true, value: body };
}

// Calls `onValue` with each new value and `onError` with each failure, until the function that it answers is called.
export function follow(path, { isBusy, onValue, onError }) {
  const ending = new AbortController();
  let etag = null;
  let busy = true;
  let failures = 0;
  let timer = 0;

  async function look() {
    try {
      const answer = await read(path, etag, ending.signal);
      failures = 0;
      etag = answer.etag;
      if (answer.changed) busy = isBusy(answer.value);
      onValue(answer.changed ? answer.value : undefined);
    } catch (error) {
      if (ending.signal.aborted) return;
      failures += 1;
      onError(error);
    }
    if (!ending.signal.aborted) plan();
  }

  function plan() {
    const pause = busy ? BUSY_MILLISECONDS : IDLE_MILLISECONDS;
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(look, Math.min(pause * 2 ** failures, LONGEST_MILLISECONDS));
  }

  function onVisibility() {
    clearTimeout(timer);
    if (!document.hidden) look();
  }

  document.addEventListener("visibilitychange", onVisibility);
  look();
  return () => {
    ending.abort();
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", onVisibility);
  };
}
