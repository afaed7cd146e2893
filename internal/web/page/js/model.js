// What the API answers, as the views need it. Nothing else knows the API's names.
const hourLong = 3600_000;
const looks = { publishing: "ok", starting: "warning", paused: "warning", standby: "ok", failed: "failing", silent: "failing", nobody: "failing" };

const known = (n) => (n === null || n === undefined || n < 0 ? null : n);

// linkToApp is the address of an app's view, with more to say about it.
export function linkToApp({ app, prefix }, more = {}) {
  const query = new URLSearchParams({ ...(prefix ? { prefix } : {}), ...more });
  return `#/apps/${encodeURIComponent(app)}${query.size > 0 ? `?${query}` : ""}`;
}

function toVerdict(v = {}) {
  return {
    state: v.state ?? "waiting", upTo: v.up_to ?? null, backlog: v.backlog_seconds ?? 0, broken: v.apps ?? 0, leftOut: v.problems_left_out ?? 0,
    problems: (v.problems ?? []).map((p) => ({ app: p.app_key, prefix: p.topic_prefix, stream: p.stream, code: p.code, detail: p.detail, hint: p.hint })),
  };
}

export function toOverview(o) {
  const counts = o.apps ?? {};
  return {
    now: o.now, version: o.version, zone: o.time_zone, admin: o.admin === true, total: counts.total ?? 0, owned: counts.owned ?? 0, counts,
    only: o.only_app ? { app: o.only_app.app_key, prefix: o.only_app.topic_prefix } : null,
    verdict: toVerdict(o.verdict), rate: o.rows_per_second, lag: o.lag ? { seconds: o.lag.seconds, app: o.lag.app_key } : null, quota: o.quota,
    retention: o.retention ? { seconds: o.retention.seconds, app: o.retention.app_key, warn: o.retention.warn } : null,
    transactions: o.transactions ? { count: o.transactions.count, mean: o.transactions.mean_seconds } : null,
    processes: (o.processes ?? []).map((p) => {
      const role = p.silent ? "silent" : p.shards > 0 ? "owner" : "standby";
      return {
        key: p.instance, name: p.process, release: p.release, apps: p.apps, shards: p.shards, shardsTotal: p.shards_total, role,
        look: role === "silent" ? "failing" : "ok", heard: Math.max(0, (Date.parse(o.now) - Date.parse(p.heard_at)) / 1000),
      };
    }),
  };
}

export const appOf = () => null;

export function toApps(body) {
  return {
    total: body.total,
    apps: body.apps.map((a) => ({
      app: a.app_key, prefix: a.topic_prefix, state: a.state, look: looks[a.state] ?? "warning", upTo: a.end_time, lag: known(a.lag_seconds), rate: a.rows_per_second,
      quotaLeft: a.quota_remaining, retention: known(a.retention_left_seconds), process: a.process, problem: a.error,
    })),
  };
}

export function toApp(a) {
  const streams = (a.streams ?? []).map((s) => ({
    stream: s.stream, members: s.streams, upTo: s.committed_to, lag: known(s.lag_seconds), backlogFrom: s.backlog_end_time, backlogUntil: s.backlog_until,
    retention: known(s.retention_left_seconds), warn: s.retention_warn === true, published: s.published,
  }));
  return {
    now: a.now, state: a.state, process: a.process, verdict: toVerdict(a.verdict), lag: known(a.lag_seconds), backlog: streams.find((s) => s.backlogFrom)?.backlogFrom ?? null,
    rate: a.rows_per_second, quota: a.quota, retention: known(a.retention_left_seconds), retentionWarn: streams.some((s) => s.warn),
    transactions: a.transactions ? { count: a.transactions.count, mean: a.transactions.mean_seconds } : null,
    published: a.published, rejectedRows: a.rejected, streams, mapStreams: a.map_streams ?? streams.filter((s) => !s.stream.startsWith("statistics/")).map((s) => s.stream),
    rejected: Object.entries(a.rejected_by_reason ?? {}).map(([reason, rows]) => ({ reason, rows })).sort((x, y) => y.rows - x.rows),
  };
}

// toHours is what is known of each hour of [from, to): by its first instant in milliseconds.
export function toHours(body, stream, from, to) {
  const hours = new Map();
  for (const h of body.hours ?? []) {
    const begin = Date.parse(h.begin);
    hours.set(begin, { state: h.state, rows: h.rows, published: h.published, rejected: h.rejected, late: h.late, gap: h.gap_seconds, replayed: h.replayed });
  }
  return hours;
}

export function toWindows(body) {
  return body.windows.map((w, i) => ({
    key: `${w.stream} ${w.begin_time} ${w.end_time} ${w.sequence ?? 0} ${w.replay ?? ""} ${i}`, begin: w.begin_time, end: w.end_time, total: w.total, rows: w.rows, published: w.published, rejected: w.rejected,
    mismatch: w.mismatch === true, took: w.duration_seconds,
    marks: [w.replay && "replay", w.late && "late", w.backlog && "backlog", w.mismatch && "mismatch"].filter(Boolean),
    offsets: (w.offsets ?? []).map((o) => ({ text: `${o.topic}[${o.partition}] ${o.first}${o.last === o.first ? "" : `–${o.last}`}` })),
  }));
}

export function toHistory(h) {
  return { times: h.times, rates: h.rows_per_second, lag: { lag: h.lag_seconds }, quota: { left: h.quota_left } };
}

export function toNotices(body) {
  return body.notices.map((n, i) => ({
    key: `${n.at} ${n.app_key} ${n.stream} ${n.kind} ${i}`, at: n.at, kind: n.kind, look: { gap: "failing", mismatch: "warning", late_rows: "warning" }[n.kind] ?? "ok",
    app: n.app_key, stream: n.stream, detail: n.detail,
  }));
}

export function toReplays(body) {
  return body.replays.map((r) => {
    const [from, to, at] = [r.from, r.to, r.done_to ?? r.from].map((time) => Date.parse(time));
    return {
      key: `${r.app_key} ${r.id}`, title: r.id, stream: r.stream, from: r.from, to: r.to, rows: r.rows, state: r.state,
      look: { failed: "failing", stopped: "warning" }[r.state] ?? "ok", part: to > from ? (at - from) / (to - from) : 0,
    };
  });
}

// changes are the calls that change something: for each the path and the body, from what the operator wishes.
export const changes = {
  pause: ({ app, prefix }, dryRun) => ({ path: `apps/${encodeURIComponent(app)}/pause`, body: { topic_prefix: prefix, dry_run: dryRun } }),
  resume: ({ app, prefix }, dryRun) => ({ path: `apps/${encodeURIComponent(app)}/resume`, body: { topic_prefix: prefix, dry_run: dryRun } }),
  reset: ({ app, prefix, stream, from, to }, dryRun) => ({ path: `apps/${encodeURIComponent(app)}/reset`, body: { topic_prefix: prefix, stream, from, to, dry_run: dryRun } }),
  replay: ({ app, stream, from, to, prefix }, dryRun) => ({ path: `apps/${encodeURIComponent(app)}/replays`, body: { stream, from, to, to_topic_prefix: prefix, dry_run: dryRun } }),
};
