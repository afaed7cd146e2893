#!/usr/bin/env bash
# Measures a catch-up: `jmpub run` against `jmpub sim` without latency and `jmpub broker`, three processes on one machine.
# It prints rows per second until all of the history that was there when it began is committed, and the pipeline's peak memory and CPU time.
# `make bench` says how that compares with the least that the work takes.
#
#   scripts/catchup.sh [runs] [messages a second in the history] [length of the history] [what a reply takes]
#
# Settings such as JMPUB_KAFKA_COMPRESSION are passed on.
set -euo pipefail
runs=${1:-5} rate=${2:-20} history=${3:-14h} latency=${4:-0s}
work=$(mktemp -d)
cd "$(dirname "${BASH_SOURCE[0]}")/.."
go build -o "$work/jmpub" ./cmd/jmpub
pids=()
stop() { for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done; pids=(); wait 2>/dev/null || true; }
trap 'stop; rm -rf "$work"' EXIT
metric() { curl -s http://127.0.0.1:19464/metrics | sed -nE "s/^$1\{[^}]*\} ([0-9.e+]+)\$/\1/p" | head -n 1; }

for _ in $(seq "$runs"); do
  "$work/jmpub" sim --listen 127.0.0.1:18080 --rate "$rate" --latency "$latency" 2>/dev/null & pids+=($!)
  "$work/jmpub" broker --listen 127.0.0.1:19392 2>/dev/null & pids+=($!)
  sleep 1
  begin=$(date +%s.%N)
  JMPUB_APP_KEY=4f7aef34fb361292c566a1cd JMPUB_MASTER_SECRET=SimulatedMasterSecret001 JMPUB_START="$history" \
    JMPUB_API_URL=http://127.0.0.1:18080/v2 JMPUB_KAFKA_BROKERS=127.0.0.1:19392 JMPUB_API_RATE="${JMPUB_API_RATE:-1000000/m}" \
    JMPUB_LISTEN=127.0.0.1:19464 "$work/jmpub" run 2>"$work/run.log" & run=$!
  pids+=("$run")
  # What is younger than JMPUB_SETTLE is not asked for, and windows end with whole seconds.
  until [ "$(metric jmpub_end_time_timestamp_seconds | awk -v begin="$begin" '{print ($1 >= begin - 10)}')" = 1 ]; do
    kill -0 "$run" || { cat "$work/run.log"; exit 1; }
    sleep 0.05
  done
  rows=$(metric jmpub_rows_total)
  requests=$(curl -s http://127.0.0.1:18080/sim/stats | sed -nE 's/.*"requests": ?([0-9]+).*/\1/p' | head -n 1)
  awk -v rows="$rows" -v requests="$requests" -v a="$begin" -v b="$(date +%s.%N)" -v pid="$run" 'BEGIN {
    while ((getline line < ("/proc/" pid "/status")) > 0) if (line ~ /^VmHWM/) { split(line, f, " "); peak = f[2] / 1024 }
    getline line < ("/proc/" pid "/stat"); split(line, f, " ")
    printf "%d rows in %.2f s: %d rows/s, %d requests, %.1f a second, peak %d MiB, %.1f CPU seconds\n", rows, b - a, rows / (b - a), \
      requests, requests / (b - a), peak, (f[14] + f[15]) / 100
  }'
  stop
done
