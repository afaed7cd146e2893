#!/usr/bin/env bash
# Writes what deploy/Dockerfile needs of an image of Go, as a tar: this machine's Go and certificates, a shell, and, in /modules, the
# modules that jmpub needs. So the container image is built where that of Go cannot be pulled.
#
#   scripts/goimage.sh >FILE
#
# It needs a static busybox. Go finds the modules with GOPROXY=file:///modules and GONOSUMDB='*': go.sum vouches for them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/image/bin" "$work/image/tmp" "$work/image/usr/local" "$work/image/etc/ssl/certs"
cp "$(command -v busybox)" "$work/image/bin/sh"
cp /etc/ssl/certs/ca-certificates.crt "$work/image/etc/ssl/certs/"
ln -s "$(go env GOROOT)" "$work/image/usr/local/go"
go mod download
modules=$(go env GOMODCACHE)/cache/download
GOMODCACHE=$work/modules GOFLAGS=-modcacherw GONOSUMDB='*' GOPROXY="file://$modules" go mod download
mv "$work/modules/cache/download" "$work/image/modules"
tar -C "$work/image" --dereference --exclude=./usr/local/go/test --exclude=./usr/local/go/pkg/obj -c .
