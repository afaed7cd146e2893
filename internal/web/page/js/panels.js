// What goes on: replays and audits, notices, processes. For all apps, or for one.
import { get } from "./api.js";
import { el, keyed, setAttribute, setText, setWidth } from "./dom.js";
import { count, duration, moment, stamp } from "./format.js";
import { toNotices, toReplays } from "./model.js";
import { card, showBadge, Table } from "./parts.js";
import { Poll } from "./poll.js";
import { has, t } from "./words.js";

export class ActivityPanels {
  constructor({ app, prefix }) {
    const where = { app_key: app, topic_prefix: prefix };
    this.replays = el("ul", { class: "tasks" });
    this.noReplays = el("p", { class: "muted", text: t("replays.none") });
    this.notices = new Table(t("notices.title"), [
      { name: "notices.at", text: (n) => moment(n.at) },
      { name: "notices.kind", head: true, show: (cell, n) => showBadge(cell, n.look, has(`notice.${n.kind}`) ? t(`notice.${n.kind}`) : n.kind) },
      ...(app ? [] : [{ name: "apps.key", class: "key wide", text: (n) => n.app }]),
      { name: "streams.stream", class: "clip wide", text: (n) => n.stream },
      { name: "notices.detail", class: "detail", text: (n) => n.detail },
    ], { key: (n) => n.key, empty: "notices.none" });
    this.processes = new Table(t("processes.title"), [
      { name: "processes.name", head: true, class: "clip", text: (p) => p.name },
      { name: "processes.role", show: (cell, p) => showBadge(cell, p.look, t(`role.${p.role}`)) },
      { name: "processes.apps", class: "number", text: (p) => count(p.apps) },
      { name: "processes.shards", class: "number", text: (p) => `${p.shards} / ${p.shardsTotal}` },
      { name: "processes.heard", class: "number", text: (p) => t("ago", { time: duration(p.heard) }) },
      { name: "processes.release", class: "wide clip", text: (p) => p.release },
    ], { key: (p) => p.key, empty: "processes.none" });
    this.root = el("div", { class: "view" },
      el("div", { class: "halves" }, card(t("replays.title"), [this.replays, this.noReplays]), card(t("processes.title"), this.processes.root)),
      card(t("notices.title"), this.notices.root));
    this.polls = [
      new Poll(5_000, async (signal) => this.showReplays(toReplays(await get("replays", where, signal)))),
      new Poll(10_000, async (signal) => this.notices.set(toNotices(await get("notices", { ...where, limit: 20 }, signal)))),
    ];
  }

  showReplays(all) {
    this.noReplays.hidden = all.length > 0;
    keyed(this.replays, all, (r) => r.key, () => el("li", {}, el("div", { class: "spread" }, el("b", {}), el("span", { class: "badge" })),
      el("div", { class: "bar", role: "progressbar", "aria-valuemin": "0", "aria-valuemax": "100" }, el("span")), el("span", { class: "muted small" })), (node, r) => {
      const [head, bar, detail] = node.children;
      setText(head.firstChild, r.title);
      setAttribute(head.lastChild, "data-state", r.look);
      setText(head.lastChild, t(`task.${r.state}`));
      setWidth(bar.firstChild, r.part);
      setAttribute(bar, "aria-valuenow", Math.round(100 * r.part));
      setAttribute(bar, "aria-label", r.title);
      setText(detail, t("replays.detail", { stream: r.stream, from: stamp(r.from), to: stamp(r.to), n: count(r.rows) }));
    });
  }

  tell(overview) {
    this.processes.set(overview.processes);
  }

  destroy() {
    for (const poll of this.polls) poll.stop();
  }
}
