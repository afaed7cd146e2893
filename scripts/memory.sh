#!/usr/bin/env bash
# Measures what `jmpub run` takes of memory and processor: against `jmpub sim` and `jmpub broker`, three processes on one machine, with
# default settings but for the quota. It prints the peak of what is resident (the kernel's VmHWM), the processor's time, and the part of it
# that the garbage collector took by its trace, which counts the clock and so says too much where others use the processor.
#
#   scripts/memory.sh catchup      # 100,000 rows of 446 bytes
#   scripts/memory.sh long         # 5 million of them
#   scripts/memory.sh large        # rows of up to 128 KB, 42 KB in the mean
#   scripts/memory.sh dense        # a million rows in one second
#   scripts/memory.sh idle [8000]  # so many streams in which nothing happens, at the default quota; a minute is measured, after SETTLE seconds (240)
#
# JMPUB names the program (built where it is not set), PORT the first of three ports. Settings such as GOMEMLIMIT are passed on.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
what=${1:-catchup} streams=${2:-8000} port=${PORT:-18080}
work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
jmpub=${JMPUB:-$work/jmpub}
[ -n "${JMPUB:-}" ] || CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$jmpub" ./cmd/jmpub # As it is shipped.

sim=() start=1m names=messages
export JMPUB_API_RATE=${JMPUB_API_RATE:-1000000/m}
case $what in
  catchup) sim=(--rate 20) start=84m ;;
  long) sim=(--rate 100) start=14h ;;
  large) sim=(--rate 5 --text-bytes 128000) start=33m ;;
  dense) sim=(--rate 1 --burst 1000000) start=20m ;;
  idle)
    sim=(--rate 0 --groups "$streams")
    JMPUB_API_RATE=600/m
    names=$(seq -s, -f 'groups/%.0f' 10000000 $((10000000 + streams - 1)))
    ;;
  *) echo "there is no $what" >&2; exit 2 ;;
esac
metrics() { curl -s "http://127.0.0.1:$((port + 2))/metrics"; }
value() { metrics | sed -nE "s/^$1(\{[^}]*\})? ([0-9.e+-]+)\$/\2/p" | sort -g | tail -n 1; }
# cpu prints the seconds of processor that the process has taken.
cpu() { awk '{ print ($14 + $15) / 100 }' "/proc/$run/stat"; }
# collected prints those that the garbage collector has taken: what the runtime did while the processor had nothing else to do is left out.
collected() {
  awk '/^gc [0-9]/ { split($0, part, " ms clock, "); split(part[2], t, " "); split(t[1], s, "[+/]"); ms += s[1] + s[2] + s[3] + s[5] }
    END { print ms / 1000 }' "$work/run.log"
}

"$jmpub" sim --listen "127.0.0.1:$port" "${sim[@]}" 2>/dev/null & pids+=($!)
"$jmpub" broker --listen "127.0.0.1:$((port + 1))" 2>/dev/null & pids+=($!)
sleep 1
JMPUB_APP_KEY=4f7aef34fb361292c566a1cd JMPUB_MASTER_SECRET=SimulatedMasterSecret001 JMPUB_START=$start JMPUB_STREAMS=$names \
  JMPUB_API_URL=http://127.0.0.1:$port/v2 JMPUB_KAFKA_BROKERS=127.0.0.1:$((port + 1)) JMPUB_LISTEN=127.0.0.1:$((port + 2)) \
  GODEBUG=gctrace=1 "$jmpub" run 2>"$work/run.log" & run=$!
pids+=("$run")
before=0 collectedBefore=0
if [ "$what" = idle ]; then
  sleep "${SETTLE:-240}"
  kill -0 "$run" || { tail -n 5 "$work/run.log" | cut -c 1-500; exit 1; }
  before=$(cpu) collectedBefore=$(collected)
  sleep 60
  metrics >"$work/metrics"
  echo "goroutines: $(value go_goroutines), /metrics: $(wc -c <"$work/metrics") bytes in $(curl -s -o /dev/null -w '%{time_total}' "http://127.0.0.1:$((port + 2))/metrics") s"
else
  until [ "$(value jmpub_lag_seconds | awk '{ print ($1 < 30) }')" = 1 ]; do
    kill -0 "$run" || { tail -n 20 "$work/run.log"; exit 1; }
    sleep 0.2
  done
fi
rows=$(metrics | awk '/^jmpub_rows_total/ { n += $2 } END { print n + 0 }')
requests=$(curl -s "http://127.0.0.1:$port/sim/stats" | sed -nE 's/.*"requests": ?([0-9]+).*/\1/p' | head -n 1)
awk -v what="$what" -v rows="$rows" -v requests="$requests" -v pid="$run" -v cpu="$(cpu)" -v before="$before" \
  -v gc="$(collected)" -v gcBefore="$collectedBefore" 'BEGIN {
    while ((getline line < ("/proc/" pid "/status")) > 0) if (line ~ /^VmHWM/) { split(line, f, " "); peak = f[2] / 1024 }
    printf "%s: %d rows, %d requests, peak %.1f MiB, %.2f CPU seconds, of which the garbage collector %.2f (%.1f %%)\n", \
      what, rows, requests, peak, cpu - before, gc - gcBefore, 100 * (gc - gcBefore) / (cpu - before) }'
[ -z "${KEEP:-}" ] || cp "$work/run.log" "$KEEP"
