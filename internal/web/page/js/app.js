// The view of one app: its sentence, its map, its windows.
import { get, getWithToken } from "./api.js";
import { Chart, counts, durations, rates } from "./charts.js";
import { el, keyed, setText } from "./dom.js";
import { count, duration, local, moment, rate, span, stamp, zoneName } from "./format.js";
import { CoverageMap } from "./map.js";
import { auditPath, hourLong, linkToApp, retentionTotal, retentionWarn, toApp, toAudit, toHistory, toHours, toNotices, toStreams, toTasks, toWindows } from "./model.js";
import { Operate } from "./operate.js";
import { noticesTable, Processes, rejectedTable, Tasks } from "./panels.js";
import { card, Table, Tile, Verdict } from "./parts.js";
import { Poll } from "./poll.js";
import { ofApp } from "./sentence.js";
import { t } from "./words.js";

// A day more than the API keeps, so that what has just left its history is seen. Earlier and later move by so many days.
const daysShown = 61;
const daysMoved = 30;

const windowColumns = [
  { name: "windows.range", head: true, text: (w) => span(w.begin, w.end) },
  { name: "windows.kind", class: "wide", text: (w) => w.marks.map((mark) => t(`windows.${mark}`)).join(", ") || t("windows.live") },
  { name: "windows.rows", class: "number", text: (w) => (w.mismatch ? `${count(w.rows)} / ${count(w.total)}` : count(w.rows)), look: (w) => (w.mismatch ? "failing" : null) },
  { name: "windows.published", class: "number", text: (w) => count(w.published) },
  { name: "windows.rejected", class: "number wide", text: (w) => count(w.rejected) },
  { name: "windows.took", class: "number wide", text: (w) => duration(w.took) },
  { name: "windows.committed", class: "wide", text: (w) => (w.committed ? moment(w.committed) : "–") },
  { name: "windows.offsets", class: "offsets", show: (cell, w) => showOffsets(cell, w.offsets) },
];

function showOffsets(cell, offsets) {
  keyed(cell, offsets.length > 0 ? offsets : [{ topic: "", ranges: t("windows.no_offsets") }], (o) => o.topic,
    (o) => el("span", { class: "offset" }, el("span", { class: "muted", text: o.topic }), " ", el("span", {})), (node, o) => setText(node.lastChild, o.ranges));
}

export class AppView {
  constructor({ app, prefix, only }) {
    this.app = app;
    this.prefix = prefix;
    this.streams = [];
    this.verdict = new Verdict();
    this.tiles = Object.fromEntries(["lag", "rate", "quota", "retention", "transactions", "published"].map((name) => [name, new Tile(t(`tile.${name}`))]));
    this.map = new CoverageMap((hour) => this.openHour(hour), (range) => this.operate.choose(range));
    this.chosen = el("select", { hidden: true, "aria-label": t("map.stream"), on: { change: () => { location.hash = linkToApp(this, { stream: this.chosen.value }); } } });
    this.moved = 0;
    this.earlier = el("button", { type: "button", class: "quiet", text: t("map.earlier"), on: { click: () => this.moveMap(daysMoved) } });
    this.later = el("button", { type: "button", class: "quiet", text: t("map.later"), disabled: true, on: { click: () => this.moveMap(-daysMoved) } });
    this.mapNote = el("p", { class: "muted small", text: t("map.hint") });
    this.hour = el("div", { class: "opened", hidden: true });
    this.hourTitle = el("h3", { tabindex: "-1" });
    this.hourTable = new Table(t("hour.windows"), windowColumns, { key: (w) => w.key, empty: "hour.no_windows" });
    this.hour.append(el("div", { class: "spread" }, this.hourTitle, el("button", { type: "button", class: "quiet", text: t("close"), on: { click: () => this.closeHour() } })), this.hourTable.root);
    this.audits = new Map();
    this.operate = new Operate({ app, prefix, stream: () => this.stream, audited: (id, stream) => { this.audits.set(id, { id, stream }); this.showTasks(); } });
    this.streamTable = new Table(t("streams.title"), [
      { name: "streams.stream", head: true, class: "clip", text: (s) => (s.members ? t("streams.many", { stream: s.stream, n: count(s.members) }) : s.paused ? `${s.stream} (${t("appstate.paused")})` : s.stream), look: (s) => (s.paused ? "warning" : null) },
      { name: "apps.up_to", text: (s) => (s.upTo ? moment(s.upTo) : "–") },
      { name: "apps.lag", class: "number", text: (s) => duration(s.lag) },
      { name: "streams.backlog", class: "wide", text: (s) => (s.backlogUntil ? t("tasks.range", { from: stamp(s.backlogFrom).slice(0, 16), to: stamp(s.backlogUntil).slice(0, 16) }) : "–") },
      { name: "apps.retention", class: "number", text: (s) => duration(s.retention), look: (s) => (s.retention !== null && s.retention < retentionWarn ? "failing" : null) },
      { name: "windows.published", class: "number wide", text: (s) => count(s.published) },
    ], { key: (s) => s.stream });
    this.windows = new Table(t("windows.title"), windowColumns, { key: (w) => w.key, empty: "windows.none" });
    this.rejected = rejectedTable();
    this.notices = noticesTable();
    this.tasks = new Tasks();
    this.processes = new Processes();
    this.charts = only ? { rates: new Chart("chart.rates", rates), lag: new Chart("chart.lag", durations), quota: new Chart("chart.quota", counts), transaction: new Chart("chart.transaction", durations) } : {};
    this.root = el("div", { class: "view" },
      el("nav", { class: "crumbs", "aria-label": t("crumbs") }, only ? null : el("a", { href: "#/", text: t("apps.title") }), el("span", { class: "key", text: app }), prefix ? el("span", { class: "muted small", text: t("crumbs.topics", { prefix }) }) : null),
      this.verdict.root, el("dl", { class: "tiles" }, Object.values(this.tiles).map((tile) => tile.root)),
      card(t("map.title"), [this.map.root, this.mapNote, this.hour], { tools: el("span", { class: "tools" }, this.chosen, this.earlier, this.later) }), this.operate.root,
      el("div", { class: "halves" }, Object.values(this.charts).map((chart) => chart.root)),
      card(t("windows.title"), this.windows.root), card(t("streams.title"), this.streamTable.root),
      el("div", { class: "halves" }, this.tasks.root, card(t("rejected.title"), this.rejected.root)),
      card(t("notices.title"), this.notices.root), this.processes.root);
    const poll = (every, path, show) => new Poll(every, async (signal) => show(await get(`${this.path()}${path}`, this.where(), signal)), (error) => this.failed(path, error));
    this.polls = [
      poll(2_000, "", (body) => this.showDetail(body)),
      poll(10_000, "/checkpoints", (body) => this.showStreams(toStreams(body, new Date()))),
      poll(5_000, "/windows", (body) => this.windows.set(toWindows(body).slice(0, 12))),
      poll(5_000, "/replays", (body) => { this.replays = toTasks(body); return this.showTasks(); }),
      poll(15_000, "/notices", (body) => this.notices.set(toNotices(body).slice(0, 20))),
    ];
    if (only) this.polls.push(new Poll(10_000, async (signal) => this.showHistory(toHistory(await get("history", {}, signal)))));
  }

  path() {
    return `apps/${encodeURIComponent(this.app)}`;
  }

  where() {
    return this.prefix ? { topic_prefix: this.prefix } : {};
  }

  // ask shows what the address names: a stream, and an hour of it.
  ask({ stream, hour }) {
    if (stream && stream !== this.stream) this.follow(stream);
    const begin = hour ? Date.parse(hour) : NaN;
    if (Number.isNaN(begin)) this.hour.hidden = true;
    else if (begin !== this.shownHour || this.hour.hidden) this.showHour(begin);
  }

  follow(stream) {
    this.stream = stream;
    this.chosen.value = stream;
    this.map.range(null);
    this.operate.choose(null);
    this.coverage?.stop();
    this.coverage = new Poll(10_000, (signal) => this.loadMap(signal), (error) => setText(this.mapNote, error ? `${t("map.failed")} ${error.message}` : t("map.hint")));
  }

  moveMap(days) {
    this.moved = Math.max(0, this.moved + days);
    this.later.disabled = this.moved === 0;
    this.coverage?.now();
  }

  async loadMap(signal) {
    const now = Date.now();
    const dayLong = 24 * hourLong;
    const midnight = Math.floor(now / hourLong) * hourLong - local(new Date(now)).hour * hourLong;
    const from = midnight - (daysShown - 1 + this.moved) * dayLong;
    const to = this.moved > 0 ? from + daysShown * dayLong : Math.ceil(now / hourLong) * hourLong;
    const body = await get(`${this.path()}/coverage`, { ...this.where(), stream: this.stream, from: new Date(from).toISOString(), to: new Date(to).toISOString() }, signal);
    this.map.set(from, Math.min(now, to), toHours(body, this.stream));
  }

  showDetail(body) {
    this.detail = toApp(body);
    this.showTable();
    this.rejected.set(this.detail.rejected);
    this.show();
  }

  // showStreams offers the streams whose positions are known.
  showStreams(streams) {
    this.streams = streams;
    const names = streams.map((s) => s.stream).filter((s) => !s.startsWith("statistics/"));
    keyed(this.chosen, names, (s) => s, (s) => el("option", { value: s, text: s }), () => {});
    this.chosen.hidden = names.length < 2;
    if (!this.stream) this.follow(names[0] ?? "messages");
    this.chosen.value = this.stream;
    this.showTable();
    this.show();
  }

  // showTable shows the streams as the process knows them, or by their positions alone, which say what is paused.
  showTable() {
    const paused = new Set(this.streams.filter((s) => s.paused).map((s) => s.stream));
    this.streamTable.set((this.detail?.streams ?? this.streams).map((s) => ({ ...s, paused: paused.has(s.stream) })));
  }

  // showTasks shows replays, and the audits that were begun from here: nobody is told of them without a token.
  async showTasks() {
    for (const audit of this.audits.values()) {
      if (!audit.task?.done) audit.task = toAudit(await getWithToken(auditPath(this, audit.id)), audit.stream);
    }
    this.tasks.set([...[...this.audits.values()].map((audit) => audit.task), ...this.replays ?? []].filter(Boolean));
  }

  showHistory(past) {
    this.charts.rates.set(past.times, past.rates);
    for (const name of ["lag", "quota", "transaction"]) this.charts[name].set(past.times, { [t(`chart.${name}`)]: past[name] });
  }

  // failed tells what cannot be read. A process that does not have the app has no details of it.
  failed(path, error) {
    if (error) ({ "/windows": this.windows, "/notices": this.notices, "/replays": this.tasks })[path]?.failed(error);
    if (path === "/checkpoints") this.map.root.hidden = error !== null;
    if (path === "/checkpoints" && error) setText(this.mapNote, `${t("map.failed")} ${error.message}`);
    if (error?.status !== 404 || path !== "") return;
    this.detail = null;
    this.showTable();
    this.show();
  }

  // show puts together what the process knows that is asked, or else what the list of apps says.
  show() {
    if (!this.overview) return null;
    const listed = this.apps.find((a) => a.app === this.app && (!this.prefix || a.prefix === this.prefix));
    const { tiles, overview: o } = this;
    if (!this.detail && !listed) {
      const verdict = { state: "failing", sentence: t("app.unknown", { app: this.app }), upTo: null };
      this.verdict.set(verdict.state, verdict.sentence, "", []);
      return verdict;
    }
    const a = { ...listed, warnings: [], why: "", problem: listed?.error ?? "", ...this.detail, process: listed?.process ?? o.process };
    if (listed && (listed.state === "paused" || (this.detail?.state === "standby"))) a.state = listed.state;
    const verdict = ofApp(a, o.now);
    this.verdict.set(verdict.state, verdict.sentence, t("verdict.detail.app", { zone: zoneName(), state: t(`appstate.${a.state}`), process: a.process, time: moment(o.now) }), verdict.problems);
    tiles.lag.set(duration(a.lag), a.backlog ? t("tile.lag.backlog", { time: stamp(a.backlog).slice(0, 16) }) : t("tile.lag.none"));
    tiles.rate.set(rate(a.rate), t("tile.rate.detail"));
    tiles.quota.set(count(a.quota?.left), t("tile.quota.detail", { n: count(a.requests) }), { part: a.quota ? a.quota.left / a.quota.limit : null });
    tiles.retention.set(duration(a.retention), t("tile.retention.detail"), { state: a.retention !== null && a.retention < retentionWarn ? "failing" : "ok", part: a.retention === null ? null : a.retention / retentionTotal });
    tiles.transactions.set(duration(o.transactions.mean), t("tile.transactions.detail", { n: count(o.transactions.count) }));
    tiles.published.set(count(a.published ?? null), t("tile.published.detail", { n: count(a.rejectedRows ?? null) }));
    this.operate.tell(a);
    return verdict;
  }

  tell(o, { apps, processes }) {
    this.overview = o;
    this.apps = apps;
    this.operate.allow(o.changes);
    this.processes.set(processes, o.process);
    return this.show();
  }

  openHour(hour) {
    location.hash = linkToApp(this, { stream: this.stream, hour: new Date(hour.begin).toISOString() });
  }

  // showHour shows the windows that touch an hour, and goes there.
  async showHour(begin) {
    this.shownHour = begin;
    this.hour.hidden = false;
    setText(this.hourTitle, t("hour.title", { from: stamp(new Date(begin)).slice(0, 16), to: stamp(new Date(begin + hourLong)).slice(11, 16) }));
    this.hourTable.says(t("loading"));
    try {
      const body = await get(`${this.path()}/windows`, { ...this.where(), stream: this.stream, from: new Date(begin).toISOString(), to: new Date(begin + hourLong).toISOString(), limit: 500 });
      if (this.shownHour !== begin) return;
      this.hourTable.set(toWindows(body));
    } catch (error) {
      if (this.shownHour === begin) this.hourTable.says(error.message);
    }
    this.hourTitle.focus({ preventScroll: true });
    this.hour.scrollIntoView({ block: "nearest" });
  }

  closeHour() {
    this.shownHour = null;
    location.hash = linkToApp(this, { stream: this.stream });
    this.map.go(this.map.at);
  }

  destroy() {
    for (const poll of [...this.polls, this.coverage]) poll?.stop();
    for (const part of [this.map, ...Object.values(this.charts)]) part.destroy();
  }
}
