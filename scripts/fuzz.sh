#!/usr/bin/env bash
# Runs every fuzz target, as many at a time as there are processors, each with one worker. It prints the targets' names, and of one that
# fails what it printed; the input then stands in the package's folder testdata/fuzz.
#
#   scripts/fuzz.sh 50000x|1m     inputs or time a target
#
# With an empty GUIDED it does without coverage, for which everything has to be compiled once more.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cache=$(go env GOCACHE)/fuzz
export FUZZTIME=$1 work
GUIDED=${GUIDED-yes}

mapfile -t folders < <(grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n 1 dirname | sort -u)
for folder in "${folders[@]}"; do # One binary for all targets of a package.
  package=$(cd "$folder" && go list)
  (cd "$folder" && go test -vet=off -c ${GUIDED:+-fuzz .} -o "$work/$package/test" .)
  sed -nE "s|^func (Fuzz[A-Za-z0-9_]+).*|$folder \1 $work/$package/test $cache/$package|p" "$folder"/*_test.go >>"$work/targets"
done

fuzz() { # folder, target, binary, folder of the inputs that were found before
  echo "$1 $2"
  cd "$1"
  "$3" -test.run '^$' -test.fuzz "^$2\$" -test.fuzztime "$FUZZTIME" -test.parallel 1 -test.fuzzcachedir "$4" -test.timeout 0 \
    >"$work/$2.log" 2>&1 || { cat "$work/$2.log"; exit 255; } # xargs ends.
}
export -f fuzz
xargs -a "$work/targets" -n 4 -P "$(nproc)" bash -c 'fuzz "$@"' fuzz
