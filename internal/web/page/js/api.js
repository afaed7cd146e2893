// Asking jmpub. Answers are JSON; an error says what to do about it.
import { t } from "./words.js";

let token = ""; // Only in memory: it is gone with the page.
let needed = false; // Beyond its own machine jmpub tells nothing without one.

export const setToken = (text) => { token = text.trim(); };
export const hasToken = () => token !== "";

const authorization = () => (needed && token ? { Authorization: `Bearer ${token}` } : {});

export class APIError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(`api/v1/${path}`, { cache: "no-store", ...options });
  } catch {
    throw new APIError(0, t("error.unreachable"));
  }
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new APIError(answer.status, body?.error ?? `HTTP ${answer.status}`);
  return body;
}

// get asks for what stands at a path. Parameters that are null or empty are left out.
export function get(path, parameters = {}, signal = undefined) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== ""));
  return ask(query.size > 0 ? `${path}?${query}` : path, { signal, headers: authorization() });
}

// getWithToken asks for what is told to nobody without a token.
export const getWithToken = (path) => ask(path, { headers: { Authorization: `Bearer ${token}` } });

export function post(path, body) {
  const headers = { "Content-Type": "application/json", "X-Jmpub-Request": "1", Authorization: `Bearer ${token}` };
  return ask(path, { method: "POST", headers, body: JSON.stringify(body) });
}

const silence = 10_000;
const again = 2_000;

// follow hands every overview that the server sends to `told`. It says `lost` with the time while there is no connection, and with null
// once it is back; where a token is needed it waits for `login`, which is told why.
export async function follow({ told, lost, login }) {
  let since = null;
  for (;;) {
    let why = null;
    try {
      why = await listen((body) => {
        if (since) {
          since = null;
          lost(null);
        }
        told(body);
      });
    } catch { /* It is told below. */ }
    if (typeof why === "string") {
      needed = true;
      token = ""; // A wrong one is not shown again and again: the address would not be heard any more.
      await login(why);
      continue;
    }
    if (why === undefined) continue;
    since ??= new Date();
    lost(since);
    await new Promise((resolve) => { setTimeout(resolve, again); });
  }
}

// listen reads the stream of events until it ends, or nothing has come for a while. It returns why a token is needed, undefined
// where it was only asked, or else null. EventSource cannot send a token.
async function listen(told) {
  const stop = new AbortController();
  let timer = setTimeout(() => stop.abort(), silence);
  try {
    const answer = await fetch("api/v1/events", { cache: "no-store", headers: authorization(), signal: stop.signal });
    if (answer.status === 401 || answer.status === 404 || answer.status === 429) return answer.status === 404 ? "" : (await answer.json()).error;
    if (!answer.ok) { // Too many listen: the page asks instead.
      told(await get("overview", {}, stop.signal));
      await new Promise((resolve) => { setTimeout(resolve, again); });
      return undefined;
    }
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = ""; ;) {
      const { value, done } = await reader.read();
      if (done) return null;
      const events = (text + value).split("\n\n");
      text = events.pop();
      for (const event of events) {
        const data = event.startsWith("event: overview\n") ? event.slice(event.indexOf("data: ") + 6) : null;
        if (data === null) continue;
        clearTimeout(timer);
        timer = setTimeout(() => stop.abort(), silence);
        told(JSON.parse(data));
      }
    }
  } finally {
    clearTimeout(timer);
    stop.abort();
  }
}
