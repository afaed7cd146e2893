#!/bin/sh
# Builds jmpub as it is released: static, and without a trace of the folder, the user or the state of the repository, so that
# whoever builds the same source with the same release of Go gets the same bytes (scripts/reproducible.sh).
#
#   scripts/build.sh FILE
#
# VERSION is what `jmpub version` says; GOOS and GOARCH are Go's own.
set -eu
case $1 in /*) file=$1 ;; *) file=$PWD/$1 ;; esac
CGO_ENABLED=0 GOFLAGS='' go build -C "${0%/*}/.." -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION-}" -o "$file" ./cmd/jmpub
