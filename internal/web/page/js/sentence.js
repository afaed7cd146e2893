// The one sentence that matters, and what is to be done, from the verdict of the API.
import { count, duration, moment } from "./format.js";
import { linkToApp } from "./model.js";
import { has, t } from "./words.js";

// verdictOf puts a verdict into words.
export function verdictOf(verdict, { apps, now }) {
  const problems = verdict.problems.map((p, i) => ({
    key: `${p.app} ${p.stream} ${p.code} ${i}`,
    title: [apps > 1 ? p.app : null, p.stream, has(`problem.${p.code}`) ? t(`problem.${p.code}`) : p.code].filter(Boolean).join(" · "),
    link: apps > 1 && p.app ? linkToApp(p) : null,
    detail: p.detail,
    hint: has(`hint.${p.code}`) ? t(`hint.${p.code}`) : p.hint,
  }));
  const broken = verdict.broken ?? 0;
  let sentence = t("sentence.waiting");
  if (verdict.state === "failing" && apps > 1) sentence = t("sentence.failing", { n: count(broken), of: count(apps) });
  else if (verdict.state === "failing") sentence = verdict.upTo ? t("sentence.failing.since", { time: moment(verdict.upTo, now) }) : t("sentence.failing.app");
  else if (verdict.upTo && verdict.backlog) sentence = t("sentence.backlog", { time: moment(verdict.upTo, now), left: duration(verdict.backlog) });
  else if (verdict.upTo) sentence = t("sentence.ok", { time: moment(verdict.upTo, now) });
  return { state: verdict.state, sentence, problems, leftOut: verdict.leftOut };
}
