// The view of one app: its sentence, its map, its windows.
import { get } from "./api.js";
import { Chart } from "./charts.js";
import { el, keyed, setText } from "./dom.js";
import { count, duration, local, moment, rate, stamp, zoneName } from "./format.js";
import { CoverageMap } from "./map.js";
import { appOf, linkToApp, toApp, toHistory, toHours, toWindows } from "./model.js";
import { Operate } from "./operate.js";
import { ActivityPanels } from "./panels.js";
import { card, Table, Tile, Verdict } from "./parts.js";
import { Poll } from "./poll.js";
import { verdictOf } from "./sentence.js";
import { t } from "./words.js";

const hourLong = 3600_000;
const daysShown = 60;

const windowColumns = [
  { name: "windows.range", head: true, text: (w) => `${stamp(w.begin)} – ${stamp(w.end).slice(11)}` },
  { name: "windows.kind", class: "wide", text: (w) => w.marks.map((mark) => t(`windows.${mark}`)).join(", ") || t("windows.live") },
  { name: "windows.rows", class: "number", text: (w) => (w.mismatch ? `${count(w.rows)} / ${count(w.total)}` : count(w.rows)), look: (w) => (w.mismatch ? "failing" : null) },
  { name: "windows.published", class: "number", text: (w) => count(w.published) },
  { name: "windows.rejected", class: "number wide", text: (w) => count(w.rejected) },
  { name: "windows.took", class: "number wide", text: (w) => duration(w.took) },
  { name: "windows.offsets", class: "offsets", show: (cell, w) => showOffsets(cell, w.offsets) },
];

function showOffsets(cell, offsets) {
  keyed(cell, offsets.length > 0 ? offsets : [{ text: t("windows.no_offsets") }], (o) => o.text, () => el("span", { class: "offset" }), (node, o) => setText(node, o.text));
}

export class AppView {
  constructor({ app, prefix, only }) {
    this.app = app;
    this.prefix = prefix;
    this.verdict = new Verdict();
    this.tiles = Object.fromEntries(["lag", "rate", "quota", "retention", "transactions", "published"].map((name) => [name, new Tile(t(`tile.${name}`))]));
    this.map = new CoverageMap((hour) => this.openHour(hour), (range) => this.choose(range));
    this.streams = el("select", { "aria-label": t("map.stream"), on: { change: () => this.chooseStream(this.streams.value) } });
    this.mapNote = el("p", { class: "muted small", role: "status" });
    this.hour = el("div", { class: "hour", hidden: true });
    this.hourTitle = el("h3", { tabindex: "-1" });
    this.hourTable = new Table(t("hour.windows"), windowColumns, { key: (w) => w.key, empty: "hour.no_windows" });
    this.hour.append(el("div", { class: "spread" }, this.hourTitle, el("button", { type: "button", class: "quiet", text: t("close"), on: { click: () => this.closeHour() } })), this.hourTable.root);
    this.operate = new Operate({ app, prefix, stream: () => this.stream });
    this.rates = new Chart("chart.rates", rate);
    this.lag = new Chart("chart.lag", duration);
    this.quota = new Chart("chart.quota", count);
    this.streamTable = new Table(t("streams.title"), [
      { name: "streams.stream", head: true, class: "clip", text: (s) => (s.members ? t("streams.many", { stream: s.stream, n: count(s.members) }) : s.stream) },
      { name: "apps.up_to", text: (s) => (s.upTo ? moment(s.upTo) : "–") },
      { name: "apps.lag", class: "number", text: (s) => duration(s.lag) },
      { name: "streams.backlog", class: "wide", text: (s) => (s.backlogUntil ? t("streams.backlog.range", { from: stamp(s.backlogFrom).slice(0, 16), to: stamp(s.backlogUntil).slice(0, 16) }) : "–") },
      { name: "apps.retention", class: "number", text: (s) => duration(s.retention), look: (s) => (s.warn ? "failing" : null) },
      { name: "windows.published", class: "number wide", text: (s) => count(s.published) },
    ], { key: (s) => s.stream });
    this.windows = new Table(t("windows.title"), windowColumns, { key: (w) => w.key, empty: "windows.none" });
    this.rejected = new Table(t("rejected.title"), [
      { name: "rejected.reason", head: true, class: "clip", text: (r) => r.reason },
      { name: "rejected.rows", class: "number", text: (r) => count(r.rows) },
    ], { key: (r) => r.reason, empty: "rejected.none" });
    this.panels = new ActivityPanels({ app, prefix });
    this.root = el("div", { class: "view" },
      el("nav", { class: "crumbs", "aria-label": t("crumbs") }, only ? null : el("a", { href: "#/", text: t("apps.title") }), el("span", { class: "key", text: app }), prefix ? el("span", { class: "muted", text: `${prefix}.*` }) : null),
      this.verdict.root, el("dl", { class: "tiles" }, Object.values(this.tiles).map((tile) => tile.root)),
      card(t("map.title", { days: daysShown }), [this.map.root, this.mapNote, this.hour], { tools: [this.streams] }),
      this.operate.root,
      el("div", { class: "halves" }, this.rates.root, this.lag.root, this.quota.root,
        card(t("rejected.title"), this.rejected.root, { level: "h3" })),
      card(t("streams.title"), this.streamTable.root), card(t("windows.title"), this.windows.root), this.panels.root);
    this.state = new Poll(2_000, async (signal) => this.showApp(toApp(await get(this.path(), this.where(), signal))), (error) => this.failed(error));
    this.history = new Poll(10_000, async (signal) => {
      const past = toHistory(await get("history", { app_key: app, ...this.where() }, signal));
      this.rates.set(past.times, past.rates);
      this.lag.set(past.times, past.lag);
      this.quota.set(past.times, past.quota);
    });
    this.newest = new Poll(5_000, async (signal) => this.windows.set(toWindows(await get("windows", { app_key: app, ...this.where(), limit: 20 }, signal))));
    this.coverage = null;
  }

  path() {
    return `apps/${encodeURIComponent(this.app)}`;
  }

  where() {
    return this.prefix ? { topic_prefix: this.prefix } : {};
  }

  // ask shows what the address names: a stream, and an hour of it.
  ask({ stream, hour }) {
    this.askedHour = hour ?? null;
    if (stream && stream !== this.stream) this.follow(stream);
    const begin = hour ? Date.parse(hour) : NaN;
    if (Number.isNaN(begin)) this.hour.hidden = true;
    else if (begin !== this.shownHour || this.hour.hidden) this.showHour(begin);
  }

  chooseStream(stream) {
    location.hash = linkToApp(this, { stream });
  }

  follow(stream) {
    this.stream = stream;
    this.streams.value = stream;
    this.map.range(null);
    this.choose(null);
    this.coverage?.stop();
    this.coverage = new Poll(10_000, (signal) => this.loadMap(signal), (error) => setText(this.mapNote, error ? `${t("map.failed")} ${error.message}` : ""));
  }

  async loadMap(signal) {
    const now = Date.now();
    const today = local(new Date(now));
    const from = Math.floor(now / hourLong) * hourLong - (today.hour + (daysShown - 1) * 24) * hourLong;
    const body = await get(`${this.path()}/coverage`, { ...this.where(), stream: this.stream, from: new Date(from).toISOString(), to: new Date(now).toISOString() }, signal);
    this.map.set(from, now, toHours(body, this.found?.streams.find((s) => s.stream === this.stream), from, now));
  }

  showApp(found) {
    this.found = found;
    const names = found.mapStreams;
    keyed(this.streams, names, (s) => s, (s) => el("option", { value: s, text: s }), () => {});
    this.streams.hidden = names.length < 2;
    if (!this.stream && names.length > 0) this.follow(names[0]);
    const { state, sentence, problems, leftOut } = verdictOf(found.verdict, { apps: 1, now: found.now, stream: true });
    this.verdict.set(state, sentence, t("verdict.detail.app", { zone: zoneName(), state: t(`appstate.${found.state}`), process: found.process ?? "–", time: moment(found.now) }), problems, leftOut);
    const { tiles } = this;
    tiles.lag.set(duration(found.lag), found.backlog ? t("tile.lag.backlog", { time: stamp(found.backlog).slice(0, 16) }) : t("tile.lag.none"), { state: found.backlog ? "warning" : "ok" });
    tiles.rate.set(rate(found.rate), t("tile.rate.detail"));
    tiles.quota.set(count(found.quota?.left), t("tile.quota.detail", { n: count(found.quota?.used) }), { part: found.quota?.limit ? found.quota.used / found.quota.limit : null });
    tiles.retention.set(duration(found.retention), t("tile.retention.detail"), { state: found.retentionWarn ? "failing" : "ok", part: found.retention === null ? null : found.retention / (60 * 86400) });
    tiles.transactions.set(duration(found.transactions?.mean), t("tile.transactions.detail", { n: count(found.transactions?.count) }));
    tiles.published.set(count(found.published), t("tile.published.detail", { n: count(found.rejectedRows) }));
    this.streamTable.set(found.streams);
    this.rejected.set(found.rejected);
    this.operate.tell(found);
  }

  failed(error) {
    if (!error || error.status === 0) return;
    this.verdict.set("failing", error.status === 404 ? t("app.unknown", { app: this.app }) : error.message, "", error.hint ? [{ key: "hint", title: "", hint: error.hint }] : []);
  }

  tell(o) {
    const mine = appOf(o, this);
    this.panels.tell(o);
    this.operate.allow(o.admin);
    if (mine?.changed) this.state.now();
  }

  openHour(hour) {
    location.hash = linkToApp(this, { stream: this.stream, hour: new Date(hour.begin).toISOString() });
  }

  async showHour(begin) {
    this.shownHour = begin;
    this.hour.hidden = false;
    setText(this.hourTitle, t("hour.title", { from: stamp(new Date(begin)).slice(0, 16), to: stamp(new Date(begin + hourLong)).slice(11, 16) }));
    this.hourTable.set([]);
    try {
      const body = await get("windows", { app_key: this.app, ...this.where(), stream: this.stream, from: new Date(begin).toISOString(), to: new Date(begin + hourLong).toISOString(), limit: 500 });
      if (this.shownHour === begin) this.hourTable.set(toWindows(body));
    } catch (error) {
      if (this.shownHour === begin) setText(this.hourTable.empty, error.message);
    }
    this.hourTitle.focus({ preventScroll: true });
    this.hour.scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  }

  closeHour() {
    this.hour.hidden = true;
    this.shownHour = null;
    location.hash = linkToApp(this, { stream: this.stream });
    this.map.go(this.map.at);
  }

  choose(range) {
    this.operate.choose(range);
  }

  destroy() {
    for (const poll of [this.state, this.history, this.newest, this.coverage]) poll?.stop();
    for (const part of [this.map, this.rates, this.lag, this.quota, this.panels]) part.destroy();
  }
}
