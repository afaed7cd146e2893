// Parts that several views have: rejected rows, processes, replays and audits, notices.
import { el, keyed, setAttribute, setText, setWidth } from "./dom.js";
import { count, duration, moment, stamp } from "./format.js";
import { linkToApp } from "./model.js";
import { card, showBadge, Table } from "./parts.js";
import { has, t } from "./words.js";

export function rejectedTable() {
  return new Table(t("rejected.title"), [
    { name: "rejected.reason", head: true, text: (r) => (has(`reason.${r.reason}`) ? t(`reason.${r.reason}`) : r.reason) },
    { name: "rejected.rows", class: "number", text: (r) => count(r.rows) },
  ], { key: (r) => r.reason, empty: "rejected.none" });
}

export function noticesTable({ apps = false } = {}) {
  return new Table(t("notices.title"), [
    { name: "notices.at", text: (n) => moment(n.at) },
    ...apps ? [{ name: "apps.key", class: "key clip", text: (n) => n.app, link: (n) => linkToApp(n) }] : [],
    { name: "notices.kind", head: true, show: (cell, n) => showBadge(cell, n.look, has(`notice.${n.kind}`) ? t(`notice.${n.kind}`) : n.kind) },
    { name: "streams.stream", class: "clip wide", text: (n) => n.stream },
    { name: "notices.detail", class: "detail", text: (n) => n.detail },
  ], { key: (n) => n.key, empty: "notices.none" });
}

// Processes are the owners and standbys.
export class Processes {
  constructor() {
    this.table = new Table(t("processes.title"), [
      { name: "processes.name", head: true, class: "clip", text: (p) => (p.name === this.here ? t("processes.here", { name: p.name }) : p.name) },
      { name: "processes.role", show: (cell, p) => showBadge(cell, p.look, t(`role.${p.role}`)) },
      { name: "processes.apps", class: "number", text: (p) => count(p.apps) },
      { name: "processes.shards", class: "number", text: (p) => `${p.shards} / ${p.shardsTotal}` },
      { name: "processes.heard", class: "number wide", text: (p) => t("ago", { time: duration(Math.round(p.heard)) }) },
      { name: "processes.release", class: "wide clip", text: (p) => p.release.slice(0, 12) },
    ], { key: (p) => p.key, empty: "processes.none" });
    this.root = card(t("processes.title"), this.table.root);
  }

  // set shows processes; one of them is that which is asked.
  set(processes, here) {
    this.here = here;
    this.table.set(processes);
  }
}

// Tasks are replays and audits with their progress.
export class Tasks {
  constructor() {
    this.list = el("ul", { class: "tasks" });
    this.none = el("p", { class: "muted", text: t("loading") });
    this.root = card(t("tasks.title"), [this.list, this.none]);
  }

  // failed shows why nothing is known. What was known before stays.
  failed(error) {
    if (!this.asked) setText(this.none, error.message);
  }

  set(all) {
    this.asked = true;
    setText(this.none, t("tasks.none"));
    this.none.hidden = all.length > 0;
    keyed(this.list, all, (r) => r.key, () => el("li", {}, el("div", { class: "spread" }, el("b", { class: "clip" }), el("span", {})),
      el("div", { class: "bar", role: "progressbar", "aria-valuemin": "0", "aria-valuemax": "100" }, el("span")), el("span", { class: "muted small" })), (node, r) => {
      const [head, bar, detail] = node.children;
      setText(head.firstChild, r.title);
      showBadge(head.lastChild, r.look, t(`task.${r.state}`));
      bar.hidden = r.part === null;
      setWidth(bar.firstChild, r.part ?? 0);
      setAttribute(bar, "aria-valuenow", r.part === null ? null : Math.round(100 * Math.min(1, Math.max(0, r.part))));
      setAttribute(bar, "aria-label", r.title);
      const range = r.from ? t("tasks.range", { from: stamp(r.from), to: stamp(r.to) }) : r.reached ? t("tasks.reached", { time: stamp(r.reached) }) : "";
      setText(detail, [r.streams, range, r.rows === null ? "" : t("tasks.rows", { n: count(r.rows) }), r.done ? t("tasks.audited", { missing: count(r.missing), extra: count(r.extra) }) : "", r.error].filter(Boolean).join(" · "));
    });
  }
}
