// The page: what every view shares (connection, language, zone, the list of apps), and which view stands for the address.
import { AppView } from "./app.js";
import { follow, get, setToken } from "./api.js";
import { el, setAttribute, setText } from "./dom.js";
import { moment, setZone, stamp, zoneName } from "./format.js";
import { onlyApp, toApps, toOverview, toProcesses } from "./model.js";
import { OverviewView } from "./overview.js";
import { Poll } from "./poll.js";
import { language, loadWords, setLanguage, t } from "./words.js";

const main = document.getElementById("main");
let view = null;
let shown = "";
let overview = null;
let fleet = null;
let lostSince = null;

// route is what the address after # asks for: #/apps/KEY?prefix=…&stream=…&hour=…
function route() {
  const [path, query] = location.hash.replace(/^#/, "").split("?");
  const [, kind, name] = path.split("/");
  const asked = Object.fromEntries(new URLSearchParams(query ?? ""));
  return kind === "apps" && name ? { ...asked, app: decoded(name) } : asked;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

// show makes the view that the address asks for. Where there is one app, that is its view.
function show() {
  if (!overview || !fleet) return;
  const asked = route();
  const { apps } = fleet;
  const only = apps.length === 1 && overview.apps.total <= 1 ? { app: apps[0].app, prefix: apps[0].prefix, only: true } : null;
  const target = only && (!asked.app || asked.app === only.app) ? only : asked.app ? { app: asked.app, prefix: asked.prefix } : {};
  const name = JSON.stringify([target, language()]);
  if (name !== shown) {
    view?.destroy();
    view = target.app ? new AppView(target) : new OverviewView();
    const moved = shown !== "";
    shown = name;
    main.replaceChildren(view.root);
    if (moved) main.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }
  view.ask(asked);
  tell();
}

function tell() {
  setText(document.getElementById("release"), overview.version);
  setText(document.getElementById("zone"), t("foot.zone", { zone: zoneName() }));
  const verdict = view.tell(overview, fleet);
  const mark = { ok: "✓", warning: "!", failing: "✕" }[verdict?.state] ?? "…";
  document.title = `${lostSince ? "?" : mark} ${verdict?.upTo ? `${moment(verdict.upTo)} · ` : ""}jmpub`;
}

function connection(since) {
  lostSince = since;
  const lost = document.getElementById("lost");
  const link = document.getElementById("link");
  setAttribute(link, "data-state", since ? "failing" : "ok");
  setText(link, since ? t("link.lost") : t("link.live"));
  lost.hidden = !since;
  setText(lost, since ? t("link.lost.since", { time: stamp(since) }) : "");
  document.body.classList.toggle("stale", since !== null);
  const loading = document.getElementById("loading");
  if (loading) setText(loading, since ? t("link.lost") : t("loading"));
}

function inWords() {
  document.documentElement.lang = language() === "zh" ? "zh-CN" : "en";
  for (const node of document.querySelectorAll("[data-word]")) setText(node, t(node.dataset.word));
  const other = document.getElementById("language");
  setText(other, language() === "zh" ? "English" : "中文");
  setAttribute(other, "lang", language() === "zh" ? "en" : "zh-CN");
  const links = document.getElementById("links");
  links.replaceChildren(...["api/v1/openapi.json", "metrics", "readyz"].map((path) => el("a", { href: path, text: `/${path}` })));
  setAttribute(links, "aria-label", t("foot.links"));
  connection(lostSince);
}

await loadWords();
inWords();
document.getElementById("language").addEventListener("click", () => {
  setLanguage(language() === "zh" ? "en" : "zh");
  inWords();
  show();
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
window.addEventListener("hashchange", show);

// login asks for a token, and is over once one is given. It is in the page's memory alone.
function login(why) {
  view?.destroy();
  view = null;
  shown = "";
  return new Promise((resolve) => {
    const token = el("input", { type: "password", autocomplete: "off", spellcheck: "false", required: true });
    const give = (event) => {
      event.preventDefault();
      setToken(token.value);
      main.replaceChildren(el("p", { class: "muted pad", text: t("loading") }));
      resolve();
      fleetPoll.now();
    };
    main.replaceChildren(el("form", { class: "card login", on: { submit: give } }, el("h1", { text: t("login.title") }), el("p", { class: "muted", text: t("login.why") }),
      el("label", {}, el("span", { text: t("operate.token") }), token), why ? el("p", { role: "alert", text: why }) : null, el("button", { type: "submit", class: "strong", text: t("login.enter") })));
    token.focus();
  });
}

const fleetPoll = new Poll(5_000, async (signal) => {
  const body = await get("apps", {}, signal);
  const now = overview?.now ?? new Date();
  fleet = { apps: toApps(body, now), processes: toProcesses(body, now), incomplete: body.incomplete ?? "" };
  show();
}, (error) => {
  if (!error || fleet?.processes.length > 0 || !overview) return;
  fleet = { apps: onlyApp(overview), processes: [], incomplete: "" }; // A process alone has no list of the apps of all.
  show();
});

function told(body) {
  overview = toOverview(body);
  setZone(view?.detail?.zone || overview.zone || "Asia/Shanghai");
  show();
}

follow({ told, lost: connection, login });
