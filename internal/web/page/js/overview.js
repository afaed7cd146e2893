// The view of all apps.
import { get } from "./api.js";
import { Chart } from "./charts.js";
import { el, setText } from "./dom.js";
import { count, duration, moment, rate, zoneName } from "./format.js";
import { linkToApp, toApps, toHistory } from "./model.js";
import { ActivityPanels } from "./panels.js";
import { card, showBadge, Table, Tile, Verdict } from "./parts.js";
import { Poll } from "./poll.js";
import { verdictOf } from "./sentence.js";
import { t } from "./words.js";

const pageSize = 50;

export class OverviewView {
  constructor() {
    this.verdict = new Verdict();
    this.tiles = Object.fromEntries(["apps", "rate", "lag", "quota", "retention", "transactions"].map((name) => [name, new Tile(t(`tile.${name}`))]));
    this.rates = new Chart("chart.rates", rate);
    this.lag = new Chart("chart.lag", duration);
    this.panels = new ActivityPanels({});
    this.by = "lag";
    this.descending = true;
    this.offset = 0;
    this.table = new Table(t("apps.title"), [
      { name: "apps.key", head: true, class: "key", text: (a) => a.app, link: (a) => linkToApp(a), sort: "app_key" },
      { name: "apps.state", show: (cell, a) => showBadge(cell, a.look, t(`appstate.${a.state}`)), sort: "state" },
      { name: "apps.up_to", text: (a) => (a.upTo ? moment(a.upTo) : "–") },
      { name: "apps.lag", class: "number", text: (a) => duration(a.lag), sort: "lag" },
      { name: "apps.rate", class: "number", text: (a) => rate(a.rate), sort: "rows_per_second" },
      { name: "apps.quota", class: "number wide", text: (a) => count(a.quotaLeft), sort: "quota" },
      { name: "apps.retention", class: "number wide", text: (a) => duration(a.retention), sort: "retention" },
      { name: "apps.process", class: "wide clip", text: (a) => a.process ?? "–" },
      { name: "apps.problem", class: "wide clip muted", text: (a) => a.problem ?? "" },
    ], { key: (a) => `${a.prefix} ${a.app}`, empty: "apps.empty", sorted: this });
    this.search = el("input", { type: "search", placeholder: t("apps.search"), "aria-label": t("apps.search"), on: { input: () => this.restart() } });
    this.state = el("select", { "aria-label": t("apps.state"), on: { change: () => this.restart() } }, el("option", { value: "", text: t("apps.all_states") }),
      ["publishing", "starting", "failed", "silent", "nobody", "paused"].map((s) => el("option", { value: s, text: t(`appstate.${s}`) })));
    this.back = el("button", { type: "button", class: "quiet", text: t("page.back"), on: { click: () => this.turn(-pageSize) } });
    this.forth = el("button", { type: "button", class: "quiet", text: t("page.forth"), on: { click: () => this.turn(pageSize) } });
    this.which = el("span", { class: "muted small", role: "status" });
    this.root = el("div", { class: "view" }, this.verdict.root,
      el("dl", { class: "tiles" }, Object.values(this.tiles).map((tile) => tile.root)),
      card(t("apps.title"), [this.table.root, el("div", { class: "spread" }, this.which, el("span", {}, this.back, " ", this.forth))], { tools: [el("span", { class: "tools" }, this.search, this.state)] }),
      el("div", { class: "halves" }, this.rates.root, this.lag.root), this.panels.root);
    this.apps = new Poll(5_000, (signal) => this.load(signal));
    this.history = new Poll(10_000, async (signal) => {
      const past = toHistory(await get("history", {}, signal));
      this.rates.set(past.times, past.rates);
      this.lag.set(past.times, past.lag);
    });
  }

  // choose sorts by a column, or turns its order round.
  choose(by) {
    this.descending = this.by === by ? !this.descending : by !== "app_key" && by !== "state" && by !== "retention" && by !== "quota";
    this.by = by;
    this.restart();
  }

  restart() {
    this.offset = 0;
    this.apps.now();
  }

  turn(by) {
    this.offset = Math.max(0, this.offset + by);
    this.apps.now();
  }

  async load(signal) {
    const found = toApps(await get("apps", {
      q: this.search.value.trim(), state: this.state.value, sort: this.by, order: this.descending ? "desc" : "asc", offset: this.offset, limit: pageSize,
    }, signal));
    this.table.set(found.apps);
    setText(this.which, found.total === 0 ? "" : t("page.which", { from: count(this.offset + 1), to: count(this.offset + found.apps.length), of: count(found.total) }));
    this.back.disabled = this.offset === 0;
    this.forth.disabled = this.offset + found.apps.length >= found.total;
  }

  tell(o) {
    const { state, sentence, problems, leftOut } = verdictOf(o.verdict, { apps: o.total, now: o.now });
    this.verdict.set(state, sentence, t("verdict.detail", { zone: zoneName(), apps: count(o.total), time: moment(o.now) }), problems, leftOut);
    const { tiles } = this;
    tiles.apps.set(`${count(o.counts.publishing ?? 0)} / ${count(o.total)}`, t("tile.apps.detail", { n: count(o.processes.length), here: count(o.owned) }),
      { state: (o.counts.publishing ?? 0) < o.total ? "warning" : "ok" });
    tiles.rate.set(rate(o.rate), t("tile.rate.detail"));
    tiles.lag.set(duration(o.lag?.seconds), o.lag?.app ?? "");
    tiles.quota.set(count(o.quota?.left), t("tile.quota.detail", { n: count(o.quota?.used) }), { part: o.quota?.limit ? o.quota.used / o.quota.limit : null });
    tiles.retention.set(duration(o.retention?.seconds), o.retention?.app ?? "", { state: o.retention?.warn ? "warning" : "ok" });
    tiles.transactions.set(duration(o.transactions?.mean), t("tile.transactions.detail", { n: count(o.transactions?.count) }));
    this.panels.tell(o);
  }

  destroy() {
    for (const part of [this.apps, this.history]) part.stop();
    for (const part of [this.rates, this.lag, this.panels]) part.destroy();
  }
}
