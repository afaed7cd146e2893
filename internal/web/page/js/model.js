// What the API answers, as the views need it. Nothing else knows the API's names.
const hourLong = 3600_000;
const historyDays = 60;
const looks = { publishing: "ok", standby: "ok", starting: "waiting", paused: "warning", failed: "failing", silent: "failing", nobody: "failing" };

export const retentionWarn = 7 * 86400;
export const retentionTotal = historyDays * 86400;

const known = (n) => (n === null || n === undefined ? null : n);
const seconds = (from, to) => (Date.parse(to) - Date.parse(from)) / 1000;

// linkToApp is the address of an app's view, with more to say about it.
export function linkToApp({ app, prefix }, more = {}) {
  const query = new URLSearchParams({ ...(prefix ? { prefix } : {}), ...more });
  return `#/apps/${encodeURIComponent(app)}${query.size > 0 ? `?${query}` : ""}`;
}

// toOverview is how the process does that is asked.
export function toOverview(o) {
  return {
    now: o.now, version: o.version, zone: o.time_zone, process: o.process, changes: o.changes === true, apps: o.apps,
    verdict: { level: o.verdict.level, code: o.verdict.code, text: o.verdict.text, hint: o.verdict.hint, at: o.verdict.at ?? null },
    warnings: o.warnings ?? [], warningsLeftOut: o.warnings_left_out ?? 0, rate: o.rows_per_second,
    lag: o.lag ? { seconds: o.lag.lag_seconds, app: o.lag.app_key, prefix: o.lag.topic_prefix, stream: o.lag.stream } : null,
    quota: o.quota ? { limit: o.quota.limit, left: o.quota.remaining } : null, requests: o.requests_per_minute,
    retention: o.retention ? { seconds: o.retention.left_seconds, app: o.retention.app_key, prefix: o.retention.topic_prefix } : null,
    transactions: { count: o.transactions.count, mean: o.transactions.count > 0 ? (o.transactions.mean_ms || o.transactions.last_ms) / 1000 : null }, rejected: byReason(o.rejected),
  };
}

// toProcesses are the processes of the group: owners, standbys, and those that are not heard of.
export function toProcesses(body, now) {
  return body.processes.map((p) => {
    const role = p.silent ? "silent" : p.shards > 0 || p.apps > 0 ? "owner" : "standby";
    return {
      key: p.instance, name: p.process, release: p.release, apps: p.apps, shards: p.shards, shardsTotal: p.shards_total, role,
      look: role === "silent" ? "failing" : "ok", heard: Math.max(0, seconds(p.heard_at, now)),
    };
  });
}

function byReason(counts) {
  return Object.entries(counts ?? {}).map(([reason, rows]) => ({ reason, rows })).filter((r) => r.rows > 0).sort((x, y) => y.rows - x.rows);
}

// toApps are the apps of all processes.
export function toApps(body, now) {
  return body.apps.map((a) => {
    const unread = a.backlog_end_time ?? a.end_time;
    return {
      app: a.app_key, prefix: a.topic_prefix, state: a.state, look: looks[a.state] ?? "warning", upTo: a.end_time ?? null, backlog: a.backlog_end_time ?? null,
      lag: known(a.lag_seconds), requests: a.requests_per_minute, quota: a.quota_limit ? { limit: a.quota_limit, left: a.quota_remaining } : null,
      retention: unread ? Math.max(0, retentionTotal - seconds(unread, now)) : null, process: a.owner ?? null, error: a.error ?? "", errorAt: a.error_at ?? null,
    };
  });
}

// onlyApp is the app of a process that knows of no others, once something is known of it.
export function onlyApp(o) {
  const about = o.lag ?? o.retention;
  if (!about || o.apps.total !== 1) return [];
  return [{
    app: about.app, prefix: about.prefix, state: "publishing", look: looks.publishing, upTo: o.verdict.at, backlog: null, lag: o.lag?.seconds ?? null, requests: o.requests,
    quota: o.quota, retention: o.retention?.seconds ?? null, process: o.process, error: "", errorAt: null,
  }];
}

const isStatistics = (stream) => stream.startsWith("statistics/");

// toApp is an app that the asked process has; from toApps comes what others say of it.
export function toApp(a) {
  const streams = a.streams.map((s) => ({
    stream: s.stream, members: s.streams ?? 0, upTo: s.committed_to ?? null, lag: s.lag_seconds === -1 && !s.read_to ? null : s.lag_seconds,
    backlogFrom: s.backlog_end_time ?? null, backlogUntil: s.backlog_until ?? null, dropped: s.dropped === true,
    retention: s.committed_to || s.read_to ? s.retention_left_seconds : null, published: s.published,
  }));
  const live = streams.filter((s) => !s.dropped && !isStatistics(s.stream));
  const least = (values) => values.filter((v) => v !== null).reduce((x, y) => (x === null || y < x ? y : x), null);
  return {
    state: a.standby ? "standby" : { owner: "publishing", joining: "starting" }[a.state] ?? a.state, ready: a.ready, why: a.why ?? "", warnings: a.warnings ?? [],
    upTo: least(live.map((s) => s.upTo)), lag: live.reduce((most, s) => (s.lag !== null && (most === null || s.lag > most) ? s.lag : most), null),
    backlog: least(live.map((s) => s.backlogFrom)), retention: least(live.map((s) => s.retention)), rate: a.rows_per_second, requests: a.requests_per_minute,
    quota: a.quota_limit ? { limit: a.quota_limit, left: a.quota_remaining } : null, published: a.published, rejectedRows: a.rejected,
    problem: a.problem ?? "", problemAt: a.problem_at ?? null, streams, rejected: byReason(a.rejected_by_reason), zone: a.time_zone,
  };
}

// toStreams are the positions of the streams, which also a process knows that does not have the app.
export function toStreams(body, now) {
  return body.checkpoints.map((p) => ({
    stream: p.stream, members: 0, upTo: p.end_time ?? null, lag: p.end_time ? seconds(p.end_time, now) : null, backlogFrom: p.backlog[0]?.end_time ?? null,
    backlogUntil: p.backlog.at(-1)?.until ?? null, dropped: false, published: p.published, paused: p.paused === true,
    retention: p.end_time ? Math.max(0, retentionTotal - seconds(p.backlog[0]?.end_time ?? p.end_time, now)) : null,
  }));
}

// toHours is what is known of the hours of a stream, by their first instant in milliseconds.
export function toHours(body, stream) {
  const hours = new Map();
  for (const h of body.streams.find((s) => s.stream === stream)?.hours ?? []) {
    hours.set(Date.parse(h.hour), { state: h.state, rows: h.rows, published: h.published, rejected: h.rejected, late: h.late, gap: h.gap_seconds, replayed: h.replays });
  }
  return hours;
}

export function toWindows(body) {
  return body.windows.map((w) => {
    const topics = new Map();
    for (const o of w.offsets ?? []) {
      const text = `${o.partition}: ${o.first}${o.last === o.first ? "" : `–${o.last}`}`;
      topics.set(o.topic, [...(topics.get(o.topic) ?? []), text]);
    }
    return {
      key: `${w.stream} ${w.begin_time} ${w.end_time} ${w.sequence ?? 0} ${w.replay ?? ""} ${w.committed_at}`, begin: w.begin_time, end: w.end_time, stream: w.stream,
      total: w.total, rows: w.rows, published: w.published, rejected: w.rejected, mismatch: w.mismatch === true, took: w.duration_seconds, committed: w.committed_at,
      marks: [w.replay && "replay", w.late && "late", w.early && "early", w.backlog && "backlog", w.mismatch && "mismatch"].filter(Boolean),
      offsets: [...topics].map(([topic, ranges]) => ({ topic, ranges: ranges.join("  ") })),
    };
  });
}

// toHistory are columns over time: events a second by target, lag, what is left of the quota.
export function toHistory(body) {
  const { samples } = body;
  const targets = [...new Set(samples.flatMap((s) => Object.keys(s.rows_per_second)))].filter((target, i) => i === 0 || samples.some((s) => s.rows_per_second[target] > 0));
  return {
    times: samples.map((s) => Date.parse(s.at) / 1000),
    rates: Object.fromEntries(targets.map((target) => [target, samples.map((s) => s.rows_per_second[target] ?? null)])),
    lag: samples.map((s) => s.lag_seconds ?? null), quota: samples.map((s) => s.quota_remaining ?? null),
    transaction: samples.map((s) => (s.transaction_ms === undefined ? null : s.transaction_ms / 1000)),
  };
}

export function toNotices(body) {
  return body.notices.map((n, i) => ({
    key: `${n.at} ${n.app_key} ${n.stream} ${n.kind} ${i}`, at: n.at, kind: n.kind, look: { gap: "failing", mismatch: "warning", late_rows: "warning" }[n.kind] ?? "ok",
    app: n.app_key, stream: n.stream, detail: n.detail,
  }));
}

// toTasks are replays and audits, the newest one first.
export function toTasks(body) {
  return (body.replays ?? []).map((r) => {
    const reached = r.streams.map((s) => s.end_time).filter(Boolean).sort()[0];
    const part = r.state === "complete" ? 1 : r.expected_rows > 0 ? (r.published + r.rejected) / r.expected_rows
      : r.from && r.to && reached ? seconds(r.from, reached) / seconds(r.from, r.to) : null;
    return {
      key: r.id, title: r.id, streams: r.streams.map((s) => s.stream).join(", "), from: r.from ?? null, to: r.to ?? null, reached: reached ?? null,
      rows: r.published, state: r.state, look: { failed: "failing", stopped: "warning", complete: "ok" }[r.state] ?? "waiting", part, error: r.error ?? "",
    };
  });
}

// toAudit is an audit as a task.
export function toAudit(a, streams) {
  const { missing = 0, extra = 0 } = a.result ?? {};
  return {
    key: a.id, title: a.id, streams, from: null, to: null, reached: null, rows: a.result?.rows ?? null, state: a.state, missing, extra, done: a.state !== "running",
    look: a.state === "failed" || missing > 0 ? "failing" : a.state === "running" ? "waiting" : "ok",
    part: a.state === "complete" ? 1 : a.requests > 0 ? a.asked / a.requests : null, error: a.error ?? "",
  };
}

// changes are the calls that change something: for each the path and the body, from what the operator wishes. Those of pauses know no dry run.
export const changes = {
  pause: (wish) => ({ path: changePath(wish, "pause"), body: {}, dry: false }),
  resume: (wish) => ({ path: changePath(wish, "resume"), body: {}, dry: false }),
  reset: (wish) => ({ path: changePath(wish, "reset"), body: { stream: wish.stream, from: wish.from, to: wish.to }, dry: true }),
  replay: (wish) => ({ path: changePath(wish, "replays"), body: { streams: [wish.stream], from: wish.from, to: wish.to, topic_prefix: wish.target }, dry: true }),
  audit: (wish) => ({ path: changePath(wish, "audits"), body: { streams: [wish.stream], from: wish.from, to: wish.to }, dry: true }),
};

export const auditPath = (wish, id) => changePath(wish, `audits/${encodeURIComponent(id)}`);

function changePath({ app, prefix }, what) {
  return `apps/${encodeURIComponent(app)}/${what}${prefix ? `?${new URLSearchParams({ topic_prefix: prefix })}` : ""}`;
}

export { hourLong };
