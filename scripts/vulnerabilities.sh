#!/usr/bin/env bash
# Looks for known vulnerabilities that jmpub's code can reach, by govulncheck. It needs the Go vulnerability database.
# Exit codes: 0 none found, 1 some found or the check broke, 75 the database cannot be reached, so nothing is known.
#
#   scripts/vulnerabilities.sh
#
# Where vuln.go.dev is out of reach, GOVULNDB may name a mirror or a copy (file:///path/of/vulndb).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=v1.9.0
database=${GOVULNDB:-https://vuln.go.dev}
unknown() {
  echo "$0: NOT CHECKED: the vulnerability database at $database cannot be reached; set GOVULNDB to a mirror or a copy" >&2
  exit 75
}
command -v curl >/dev/null || { echo "$0: curl is missing" >&2; exit 1; }
case $database in # The checker takes a while to build, for nothing if it has nothing to ask.
  http*) curl -fsSL --max-time 30 -o /dev/null "$database/index/db.json" || unknown ;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
GOBIN=$work go install "golang.org/x/vuln/cmd/govulncheck@$version"
code=0
"$work/govulncheck" -db "$database" ./... >"$work/out" 2>"$work/err" || code=$?
cat "$work/out" "$work/err"
if [ "$code" != 0 ] && grep -q 'fetching vulnerabilities' "$work/err"; then
  unknown
fi
[ "$code" = 0 ] || exit 1
