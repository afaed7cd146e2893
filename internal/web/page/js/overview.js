// The view of all apps.
import { get } from "./api.js";
import { Chart, counts, durations, rates } from "./charts.js";
import { el, setText } from "./dom.js";
import { count, duration, moment, rate, zoneName } from "./format.js";
import { linkToApp, retentionWarn, toHistory, toNotices } from "./model.js";
import { noticesTable, Processes, rejectedTable } from "./panels.js";
import { card, showBadge, Table, Tile, Verdict } from "./parts.js";
import { Poll } from "./poll.js";
import { ofAll } from "./sentence.js";
import { t } from "./words.js";

const pageSize = 25;
const trouble = { failed: 0, silent: 1, nobody: 2, paused: 3, starting: 4 };

// What apps are sorted by. Those that are in trouble come first where it is by state.
const orders = {
  app: (a) => a.app, state: (a) => trouble[a.state] ?? 9, upTo: (a) => a.upTo, lag: (a) => a.lag, requests: (a) => a.requests, quota: (a) => a.quota?.left ?? null, retention: (a) => a.retention,
};
const downwards = ["lag", "requests"];

export class OverviewView {
  constructor() {
    this.verdict = new Verdict();
    this.tiles = Object.fromEntries(["apps", "rate", "lag", "quota", "retention", "transactions"].map((name) => [name, new Tile(t(`tile.${name}`))]));
    this.rates = new Chart("chart.rates", rates);
    this.lag = new Chart("chart.lag", durations);
    this.quota = new Chart("chart.quota", counts);
    this.transaction = new Chart("chart.transaction", durations);
    this.rejected = rejectedTable();
    this.notices = noticesTable({ apps: true });
    this.noticesNote = el("p", { class: "muted small", hidden: true });
    this.processes = new Processes();
    this.by = "state";
    this.descending = false;
    this.offset = 0;
    this.apps = [];
    this.table = new Table(t("apps.title"), [
      { name: "apps.key", head: true, class: "key", text: (a) => a.app, link: (a) => linkToApp(a), sort: "app" },
      { name: "apps.state", show: (cell, a) => showBadge(cell, a.look, t(`appstate.${a.state}`)), sort: "state" },
      { name: "apps.up_to", text: (a) => (a.upTo ? moment(a.upTo) : "–"), sort: "upTo" },
      { name: "apps.lag", class: "number", text: (a) => duration(a.lag), sort: "lag" },
      { name: "apps.requests", class: "number wide", text: (a) => count(a.requests), sort: "requests" },
      { name: "apps.quota", class: "number wide", text: (a) => (a.quota ? `${count(a.quota.left)} / ${count(a.quota.limit)}` : "–"), sort: "quota" },
      { name: "apps.retention", class: "number wide", text: (a) => duration(a.retention), look: (a) => (a.retention !== null && a.retention < retentionWarn ? "failing" : null), sort: "retention" },
      { name: "apps.process", class: "wide clip", text: (a) => a.process ?? "–" },
      { name: "apps.problem", class: "wide clip muted", text: (a) => a.error },
    ], { key: (a) => `${a.prefix} ${a.app}`, empty: "apps.empty", sorted: this });
    this.search = el("input", { type: "search", placeholder: t("apps.search"), "aria-label": t("apps.search"), on: { input: () => this.restart() } });
    this.state = el("select", { "aria-label": t("apps.state"), on: { change: () => this.restart() } }, el("option", { value: "", text: t("apps.all_states") }),
      ["publishing", "starting", "failed", "silent", "nobody", "paused"].map((s) => el("option", { value: s, text: t(`appstate.${s}`) })));
    this.back = el("button", { type: "button", class: "quiet", text: t("page.back"), on: { click: () => this.turn(-pageSize) } });
    this.forth = el("button", { type: "button", class: "quiet", text: t("page.forth"), on: { click: () => this.turn(pageSize) } });
    this.which = el("span", { class: "muted small", role: "status" });
    this.root = el("div", { class: "view" }, this.verdict.root,
      el("dl", { class: "tiles" }, Object.values(this.tiles).map((tile) => tile.root)),
      card(t("apps.title"), [this.table.root, el("div", { class: "spread pager" }, this.which, el("span", { class: "tools" }, this.back, this.forth))], { tools: [el("span", { class: "tools" }, this.search, this.state)] }),
      el("div", { class: "halves" }, this.rates.root, this.lag.root, this.quota.root, this.transaction.root, card(t("rejected.title"), this.rejected.root), this.processes.root),
      card(t("notices.title"), [this.notices.root, this.noticesNote]));
    this.told = new Poll(30_000, async (signal) => this.notices.set(toNotices(await get("notices", { limit: 20 }, signal))), (error) => {
      this.noticesNote.hidden = error === null;
      setText(this.noticesNote, error ? `${t("notices.failed")} ${error.message}` : "");
    });
    this.history = new Poll(10_000, async (signal) => {
      const past = toHistory(await get("history", {}, signal));
      this.rates.set(past.times, past.rates);
      this.lag.set(past.times, { [t("chart.lag")]: past.lag });
      this.quota.set(past.times, { [t("chart.quota")]: past.quota });
      this.transaction.set(past.times, { [t("chart.transaction")]: past.transaction });
    });
  }

  ask() {}

  // choose sorts by a column, or turns its order round.
  choose(by) {
    this.descending = this.by === by ? !this.descending : downwards.includes(by);
    this.by = by;
    this.restart();
  }

  restart() {
    this.offset = 0;
    this.list();
  }

  turn(by) {
    this.offset = Math.max(0, this.offset + by);
    this.list();
  }

  // list shows the apps that are searched for, sorted, so many of them; what is not known comes last.
  list() {
    const wanted = this.search.value.trim().toLowerCase();
    const order = orders[this.by];
    const sign = this.descending ? -1 : 1;
    const found = this.apps.filter((a) => (!wanted || a.app.toLowerCase().includes(wanted)) && (!this.state.value || a.state === this.state.value))
      .map((a) => [order(a), a]).sort(([x, a], [y, b]) => {
        if (x === y) return a.app < b.app ? -1 : 1;
        if (x === null || y === null) return x === null ? 1 : -1;
        return (x < y ? -1 : 1) * sign;
      });
    if (this.offset >= found.length) this.offset = 0;
    const page = found.slice(this.offset, this.offset + pageSize).map(([, a]) => a);
    this.table.set(page);
    setText(this.which, found.length === 0 ? "" : t("page.which", { from: count(this.offset + 1), to: count(this.offset + page.length), of: count(found.length) }));
    this.back.disabled = this.offset === 0;
    this.forth.disabled = this.offset + page.length >= found.length;
  }

  tell(o, { apps, processes, incomplete }) {
    const verdict = ofAll(o, apps, incomplete);
    this.verdict.set(verdict.state, verdict.sentence, t("verdict.detail", { zone: zoneName(), apps: count(apps.length), time: moment(o.now) }), verdict.problems, verdict.leftOut);
    if (apps !== this.apps) {
      this.apps = apps;
      this.list();
    }
    const { tiles } = this;
    const published = apps.filter((a) => a.state === "publishing").length;
    const retention = apps.reduce((least, a) => (a.retention !== null && (least === null || a.retention < least.retention) ? a : least), null);
    tiles.apps.set(`${count(published)} / ${count(apps.length)}`, t("tile.apps.detail", { here: count(o.apps.owned) }), { state: published < apps.length ? "warning" : "ok" });
    tiles.rate.set(rate(o.rate), t("tile.rate.detail"));
    tiles.lag.set(duration(o.lag?.seconds), o.lag?.app ?? "");
    tiles.quota.set(count(o.quota?.left), t("tile.quota.detail", { n: count(o.requests) }), { part: o.quota ? o.quota.left / o.quota.limit : null });
    tiles.retention.set(duration(retention?.retention), retention?.app ?? "", { state: retention && retention.retention < retentionWarn ? "failing" : "ok" });
    tiles.transactions.set(duration(o.transactions.mean), t("tile.transactions.detail", { n: count(o.transactions.count) }));
    this.rejected.set(o.rejected);
    this.processes.set(processes, o.process);
    return verdict;
  }

  destroy() {
    this.history.stop();
    this.told.stop();
    for (const chart of [this.rates, this.lag, this.quota, this.transaction]) chart.destroy();
  }
}
