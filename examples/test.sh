#!/usr/bin/env bash
# Tests the examples: lint, unit tests, the race detector, the walk-through of README.md, and all of them on Apache Kafka. It
# needs go, make, java, mvn, python3 with venv, curl and a container engine, installs the rest into a temporary folder, and fails where
# something is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
root=$(cd .. && pwd)
work=$(mktemp -d)
PATH=$PATH:$(go env GOPATH)/bin
export PATH
export JMPUB_TEST_PYTHON="$work/venv/bin/python"
export JDK_JAVA_OPTIONS="-XX:+UseSerialGC -XX:TieredStopAtLevel=1" # Java is started often, for moments.
heading() { printf '\n== %s (%ss)\n' "$1" "$SECONDS"; }
cleanup() {
  # shellcheck disable=SC2046 # One process id a word.
  kill $(jobs -p) 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

heading "what is needed"
for tool in go make java mvn python3 curl docker; do
  command -v "$tool" >/dev/null || { echo "$tool is missing"; exit 1; }
done
make -s -C "$root" tools # The release of golangci-lint that the whole project is checked with.
docker version >/dev/null || { echo "no container engine answers"; exit 1; }
(python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check -r requirements.txt) >"$work/pip.log" 2>&1 &
installing=$!

heading "lint"
go mod tidy -diff
go mod verify
golangci-lint run --allow-parallel-runners ./... 2>"$work/lint.log" || { cat "$work/lint.log"; exit 1; } # It warns of exceptions that are for the other module.
go vet -tags integration ./...

heading "unit tests, and those with goroutines with the race detector"
go test -shuffle=on -timeout 5m ./lake
CGO_ENABLED=1 go test -race -shuffle=on -timeout 5m ./moderation ./connect

wait "$installing" || { cat "$work/pip.log"; exit 1; }

heading "the walk-through of README.md"
# Its ports may be taken on this machine, so it gets others, below those that are given to clients.
# shellcheck disable=SC2016 # It is for the script that is written here.
echo 'trap "kill \$(jobs -p)" EXIT' >"$work/walk.sh"
sed -n '/^<!-- walk-through -->/,/^```$/p' README.md | sed '1,2d; $d' |
  sed "s/127.0.0.1:8080/127.0.0.1:14080/g; s/127.0.0.1:9092/127.0.0.1:14092/g; s/127.0.0.1:9464/127.0.0.1:14464/g;
    s/ \.\/jmpub run/ JMPUB_LISTEN=127.0.0.1:14464&/" >>"$work/walk.sh"
grep -q compare.sql "$work/walk.sh" || { echo "README.md has no walk-through"; exit 1; }
# jmpub refuses settings that it does not know, and those of the tests are none.
mapfile -t without < <(compgen -e | sed -n 's/^JMPUB_.*/--unset=&/p')
(cd "$work" && timeout 300 env "${without[@]}" JMPUB="$root" bash -euo pipefail walk.sh) >"$work/walk.log" 2>&1 ||
  { cat "$work/walk.log"; tail -n 5 "$work"/try/*.log || true; exit 1; }
sed -n '/┌/,$p' "$work/walk.log"
# Three hours, each with as many rows on both sides, none of them different.
[ "$(grep -cE '│ +([1-9][0-9]+) │ +\1 │ +0 │$' "$work/walk.log")" = 3 ] && [ "$(grep -cE '^│ [0-9N]' "$work/walk.log")" = 3 ] ||
  { echo "the lake is not what the API held"; exit 1; }

heading "on Apache Kafka"
go test -tags integration -p 2 -count=1 -v -run OnApacheKafka -timeout 15m ./... >"$work/kafka.log" 2>&1 ||
  { grep -vE 'Container|Creating|Starting' "$work/kafka.log" | tail -n 100; exit 1; }
grep -E '^ *(--- |[a-z]+_test.go:)' "$work/kafka.log"
for test in Lake Moderation Connect; do
  grep -q -- "--- PASS: TestExample${test}OnApacheKafka " "$work/kafka.log" || { echo "TestExample${test}OnApacheKafka did not run"; exit 1; }
done
heading "done"
