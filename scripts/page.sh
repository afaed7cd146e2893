#!/usr/bin/env bash
# Drives the page in Chromium (internal/tests/page), and holds what is vendored against its package. axe-core is fetched for this alone:
# it is in no release and not in the repository.
#
#   scripts/page.sh [PICTURES]   keep pictures of the page in this folder; by default dist/page
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
uplot=1.6.32 axe=4.14.1
pictures=${1:-dist/page}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/jmpub
type chromium >/dev/null 2>&1 || { echo "$0: there is no chromium; on Debian: apt-get install chromium fonts-noto-cjk" >&2; exit 1; }

# unpacked NAME VERSION SHA256: the folder with a package of npm, which is fetched once.
unpacked() {
  local folder=$cache/$1-$2
  if [ ! -d "$folder" ]; then
    rm -rf "$folder.new" && mkdir -p "$folder.new"
    (cd "$folder.new" && npm pack --silent "$1@$2" >/dev/null && echo "$3  $1-$2.tgz" | sha256sum --check --quiet && tar -xzf "$1-$2.tgz")
    mv "$folder.new" "$folder"
  fi
  echo "$folder/package"
}

source=$(unpacked uplot "$uplot" 4b8a8191e425658e3ea8c8c1314b0fc679c861ee3a1af2b20c7b16ba50b5133d)
vendored=internal/web/page/vendor/uplot
cmp "$source/dist/uPlot.esm.js" "$vendored/uPlot.js"
cmp "$source/dist/uPlot.min.css" "$vendored/uPlot.css"
cmp "$source/LICENSE" "$vendored/LICENSE"
grep -q "uPlot.*$uplot" docs/dependencies.md || { echo "$0: docs/dependencies.md does not say that uPlot $uplot is vendored" >&2; exit 1; }

mkdir -p "$pictures"
pictures=$(cd "$pictures" && pwd)
go test -tags integration -count=1 -timeout 8m ./internal/tests/page \
  -page.axe="$(unpacked axe-core "$axe" e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745)/axe.min.js" -page.pictures="$pictures"
