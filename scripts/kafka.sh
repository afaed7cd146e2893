#!/usr/bin/env bash
# Runs tests on Apache Kafka and fails if one whose name matches did not run: a name or a package that is wrong must not pass for
# a success. It shows the tests' verdicts and tables; of a run that fails, also all that the tests that failed have printed.
#
#   scripts/kafka.sh PATTERN PACKAGE... [-- ARGUMENT OF go test...]
#
# The image is JMPUB_TEST_KAFKA_IMAGE, by default the public apache/kafka. A container engine is needed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
pattern=$1
shift
packages=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  packages+=("$1")
  shift
done
[ $# = 0 ] || shift
log=$(mktemp)
trap 'rm -f "$log"' EXIT

code=0
go test -tags integration -count=1 -v -run "$pattern" "${packages[@]}" "$@" 2>&1 | tee "$log" |
  { grep --line-buffered -E '^ *--- FAIL|^--- |^\| |^(ok|FAIL)' || true; } || code=$?
if [ "$code" != 0 ]; then
  echo
  # What stands between "=== NAME test" and the next such line is that test's.
  awk '/^ *--- FAIL: / { failed[$3] }
    /^=== / { test = $3; next }
    { said[test] = said[test] $0 "\n" }
    END { for (test in failed) if (said[test] != "") printf "=== %s\n%s", test, said[test] }' "$log" | head -n 400
  tail -n 5 "$log"
  exit 1
fi

tests=$(sed 's|/[^|]*||g' <<<"$pattern") # Without the names of subtests.
for package in "${packages[@]}"; do
  # shellcheck disable=SC2013 # A name is a word.
  for test in $(grep -hoE '^func Test[A-Za-z0-9]+' "$package"/*_test.go | sed 's/^func //' | grep -E "^($tests)\$"); do
    grep -q -- "^--- PASS: $test " "$log" || { echo "$test of $package did not run"; exit 1; }
  done
done
