// The one sentence that matters, and what is to be done. What the API says in English is shown as it is where there is no other word for it.
import { count, duration, moment, stamp } from "./format.js";
import { linkToApp } from "./model.js";
import { has, t } from "./words.js";

const states = { ok: "ok", warning: "warning", error: "failing" };
const mostProblems = 5;
const times = ["since", "until", "api", "local"];
const lengths = ["left", "difference", "took"];
const broken = ["failed", "silent", "nobody"];

// notPublished are the apps that are not published, those together that have the same state and error.
function notPublished(bad) {
  const groups = new Map();
  for (const a of bad) {
    const key = `${a.state} ${a.error}`;
    groups.set(key, [...groups.get(key) ?? [], a]);
  }
  return [...groups].map(([key, [a, ...more]]) => ({
    key, title: [more.length > 0 ? t("problems.and", { app: a.app, n: count(more.length) }) : a.app, t(`appstate.${a.state}`)].join(" · "), link: linkToApp(a),
    detail: a.error, hint: t(`hint.${a.state}`, { process: a.process ?? "–" }),
  }));
}

// warning is what will go wrong: in the reader's language, if there are words for it.
function warning({ code, app_key: app, topic_prefix: prefix, text, facts }) {
  const shown = Object.fromEntries(Object.entries(facts).map(([name, value]) => [name, times.includes(name) ? stamp(value) : lengths.includes(name) ? duration(Number(value)) : value]));
  const title = has(`warning.${code}`) ? [app, t(`warning.${code}`, shown)].filter(Boolean).join(" · ") : text;
  return { key: `warning ${code} ${app ?? ""} ${facts.stream ?? ""}`, title, link: app ? linkToApp({ app, prefix }) : undefined, hint: t(has(`hint.${code}`) ? `hint.${code}` : "hint.warning") };
}

function earliest(...times) {
  return times.filter(Boolean).reduce((a, b) => (a === null || Date.parse(b) < Date.parse(a) ? b : a), null);
}

// ofAll is the sentence about all apps: what this process says, and of the others what the list of apps has, unless that is incomplete.
export function ofAll(o, apps, incomplete) {
  const bad = apps.filter((a) => broken.includes(a.state));
  const warnings = o.warnings.map(warning);
  if (incomplete && o.apps.total > 1) warnings.push({ key: "incomplete", title: t("problems.incomplete"), detail: incomplete });
  const elsewhere = o.apps.owned < apps.length;
  const upTo = earliest(o.verdict.at, ...(elsewhere ? apps.map((a) => (broken.includes(a.state) ? null : a.upTo)) : []));
  const all = (state, sentence, problems = warnings, leftOut = o.warningsLeftOut) => ({ state, sentence, upTo, problems, leftOut });
  if (bad.length > 0) {
    const groups = notPublished(bad);
    return all("failing", t("sentence.failing", { n: count(bad.length), of: count(apps.length) }), groups.slice(0, mostProblems), Math.max(0, groups.length - mostProblems));
  }
  const { code, level, text, hint } = o.verdict;
  if (level === "error") return all("failing", t("sentence.not_read"), [{ key: code, title: text, hint: t(`hint.${code}`, { hint }) }, ...warnings]);
  if (code === "no_app" || (upTo === null && code !== "standby")) return all("waiting", t(code === "no_app" ? "sentence.no_app" : "sentence.starting"));
  if (upTo === null) return all("ok", t("sentence.standby"));
  if (code === "paused") return all("warning", t("sentence.paused.some", { time: moment(upTo, o.now) }), [{ key: code, title: text, hint: t("hint.paused") }, ...warnings]);
  const behind = apps.filter((a) => a.backlog).length;
  if (level === "ok" && behind > 0) return all("waiting", t("sentence.backlog", { time: moment(upTo, o.now), n: count(behind) }));
  if (level === "ok" && code === "catching_up") return all("waiting", t("sentence.catching_up", { time: moment(upTo, o.now) }));
  return all(warnings.length > 0 ? "warning" : states[level], t("sentence.ok", { time: moment(upTo, o.now) }));
}

// ofApp is the sentence about one app.
export function ofApp(app, now) {
  const problems = app.warnings.map(warning);
  const { upTo } = app;
  const one = (state, sentence) => ({ state, sentence, upTo, problems });
  if (broken.includes(app.state)) {
    problems.unshift({ key: "state", title: t(`appstate.${app.state}`), detail: app.problem || app.why, hint: t(`hint.${app.state}`, { process: app.process ?? "–" }) });
    return one("failing", upTo ? t("sentence.failing.since", { time: moment(upTo, now) }) : t("sentence.failing.app"));
  }
  if (app.state === "paused") return one("warning", upTo ? t("sentence.paused.since", { time: moment(upTo, now) }) : t("sentence.paused"));
  if (upTo === null) return one("waiting", t("sentence.starting"));
  if (app.why) {
    problems.unshift({ key: "why", title: app.why, detail: app.problem, hint: t("hint.not_read") });
    return one("failing", t("sentence.failing.since", { time: moment(upTo, now) }));
  }
  const state = problems.length > 0 ? "warning" : "ok";
  if (app.backlog) return one(state === "ok" ? "waiting" : state, t("sentence.backlog.app", { time: moment(upTo, now), until: moment(app.backlog, now) }));
  if (app.lag > 600) return one(state === "ok" ? "waiting" : state, t("sentence.catching_up", { time: moment(upTo, now) }));
  return one(state, t("sentence.ok", { time: moment(upTo, now) }));
}
