#!/usr/bin/env bash
# Checks the licences of everything that is linked into jmpub, as google/go-licenses reads them from the modules' own files:
# each must be known and permissive, no module of the binary may be without one, and the list in docs/dependencies.md must
# be what is found.
#
#   scripts/licenses.sh           check
#   scripts/licenses.sh --write   bring the list up to date; it still fails on a licence that is not allowed
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=v2.0.1
allowed=Apache-2.0,MIT,BSD-2-Clause,BSD-3-Clause,ISC
page=docs/dependencies.md
begin='<!-- licences: begin -->' end='<!-- licences: end -->'
case ${1-} in '' | --write) ;; *) echo "usage: $0 [--write]" >&2; exit 2 ;; esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The tool is built in a module of its own: `go install` asks for a list of its versions, which not every proxy has.
tool=${XDG_CACHE_HOME:-$HOME/.cache}/jmpub/go-licenses-$version
if [ ! -x "$tool" ]; then
  mkdir -p "$work/tool" "$(dirname "$tool")"
  (cd "$work/tool" && go mod init tool && go mod edit -require="github.com/google/go-licenses/v2@$version" &&
    go build -mod=mod -o "$work/go-licenses" github.com/google/go-licenses/v2) >"$work/build.log" 2>&1 ||
    { cat "$work/build.log"; echo "$0: go-licenses $version cannot be built" >&2; exit 1; }
  mv "$work/go-licenses" "$tool"
fi

# What stands in GOROOT has no licence of its own; a tool that was built with -trimpath knows of none, and would take everything for that.
GOROOT=$(go env GOROOT)
export GOROOT
# The released binary is for Linux without cgo.
export GOOS=linux GOARCH=amd64 CGO_ENABLED=0
check() { "$tool" check ./cmd/jmpub --allowed_licenses="$1" >"$work/check.log" 2>&1; }
if check Apache-2.0; then
  echo "$0: the tool finds nothing wrong when MIT and BSD are not allowed, so it proves nothing" >&2
  exit 1
fi
check "$allowed" || { grep -vE '^W|\.s$' "$work/check.log" >&2; echo "$0: a licence is unknown or not one of $allowed" >&2; exit 1; }

printf '{{range .}}{{.Name}} {{.LicenseName}}\n{{end}}' >"$work/template"
"$tool" report ./cmd/jmpub --ignore github.com/jmpub/jmpub --template "$work/template" 2>"$work/report.log" >"$work/found" ||
  { cat "$work/report.log" >&2; exit 1; }
LC_ALL=C sort -u "$work/found" | sed '/^$/d' >"$work/sorted"

go build -o "$work/jmpub" ./cmd/jmpub
go version -m "$work/jmpub" | awk '$1 == "dep" { print $2 }' >"$work/modules"
missing=0
while read -r module; do
  awk -v m="$module" '$1 == m || index($1, m "/") == 1 { found = 1 } END { exit !found }' "$work/sorted" ||
    { echo "$0: $module is linked, and no licence of it is found" >&2; missing=1; }
done <"$work/modules"
[ "$missing" = 0 ]

{
  echo "$begin"
  echo '| part | licence |'
  echo '|---|---|'
  awk '{ by[$1] = by[$1] (by[$1] == "" ? "" : ", ") $2; if (!seen[$1]++) order[++n] = $1 }
       END { for (i = 1; i <= n; i++) printf "| `%s` | %s |\n", order[i], by[order[i]] }' "$work/sorted"
  echo "$end"
} >"$work/list"
awk -v list="$work/list" -v begin="$begin" -v end="$end" '
  $0 == begin { while ((getline line < list) > 0) print line; skipping = 1; replaced = 1 }
  !skipping { print }
  $0 == end { skipping = 0 }
  END { exit !replaced }' "$page" >"$work/page" || { echo "$0: $page has no line \"$begin\"" >&2; exit 1; }
if [ "${1-}" = --write ]; then
  cp "$work/page" "$page"
elif ! diff -u "$page" "$work/page"; then
  echo "$0: $page is not up to date; run $0 --write" >&2
  exit 1
fi
echo "$(wc -l <"$work/modules") modules are linked, all under one of $allowed"
