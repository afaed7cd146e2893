#!/usr/bin/env bash
# Builds the last commit twice as it is released, in two folders and different surroundings, and fails unless both binaries are the
# same, byte for byte. GOOS and GOARCH may name another target.
#
#   scripts/reproducible.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
grep -qx "ARG GO_IMAGE=golang:$(go list -m -f '{{.GoVersion}}')" deploy/Dockerfile || # Another release makes another binary.
  { echo "$0: the image of Go in deploy/Dockerfile is not the release that go.mod names" >&2; exit 1; }
git clone -q . "$work/a repository"
mkdir "$work/exported"
git archive HEAD | tar -x -C "$work/exported"
(umask 022 && cd "$work/a repository" && TZ=UTC scripts/build.sh "$work/first")
(umask 077 && cd / && TZ=Asia/Shanghai GOFLAGS=-buildvcs=auto TMPDIR=$work "$work/exported/scripts/build.sh" "$work/second")
cmp "$work/first" "$work/second" || { echo "$0: the same commit makes two binaries" >&2; exit 1; }
if grep -qaF -e "$work" -e "$(go env GOMODCACHE)" "$work/first"; then
  echo "$0: the binary names folders of the machine that built it" >&2
  exit 1
fi
echo "$(git rev-parse --short HEAD) with $(go version | cut -d ' ' -f 3) for $(go env GOOS)/$(go env GOARCH): $(sha256sum <"$work/first" | cut -d ' ' -f 1)"
