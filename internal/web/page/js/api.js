// Asking jmpub. Answers are JSON; an error says what to do about it.
import { t } from "./words.js";

let token = ""; // Only in memory: it is gone with the page.

export const setToken = (text) => { token = text.trim(); };
export const hasToken = () => token !== "";

export class APIError extends Error {
  constructor(status, message, hint) {
    super(message);
    this.status = status;
    this.hint = hint;
  }
}

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(`api/v1/${path}`, { cache: "no-store", ...options });
  } catch {
    throw new APIError(0, t("error.unreachable"), "");
  }
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new APIError(answer.status, body?.error ?? `HTTP ${answer.status}`, body?.hint ?? "");
  return body;
}

// get asks for what stands at a path. Parameters that are null or empty are left out.
export function get(path, parameters = {}, signal = undefined) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== ""));
  return ask(query.size > 0 ? `${path}?${query}` : path, { signal });
}

export function post(path, body) {
  return ask(path, { method: "POST", headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` }, body: JSON.stringify(body) });
}

const silence = 10_000;
const again = 2_000;

// follow hands every overview that the server sends to `told`, and to `lost` since when there is no connection, or null once it is back.
export function follow(told, lost) {
  let source = null;
  let since = null;
  let heard = Date.now();
  const drop = () => {
    source?.close();
    source = null;
    since ??= new Date();
    lost(since);
    setTimeout(connect, again);
  };
  const connect = () => {
    if (source) return;
    heard = Date.now();
    source = new EventSource("api/v1/events");
    source.addEventListener("overview", (event) => {
      heard = Date.now();
      if (since) {
        since = null;
        lost(null);
      }
      told(JSON.parse(event.data));
    });
    source.onerror = drop;
  };
  connect();
  setInterval(() => {
    if (source && Date.now() - heard > silence) drop();
  }, 1000);
}
