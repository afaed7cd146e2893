#!/usr/bin/env bash
# Checks and tests the alert rules, sees one of them fire and resolve in a real Prometheus, and checks that the dashboard is what its program
# writes. Where Prometheus is not installed, its binaries are taken out of Debian's package: nothing is installed, and no service is started.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if ! type promtool prometheus >/dev/null 2>&1; then
  (cd "$work" && apt-get download -qq prometheus >/dev/null)
  dpkg-deb -x "$work"/prometheus_*.deb "$work/prometheus"
  PATH="$work/prometheus/usr/bin:$PATH"
fi
promtool check rules deploy/prometheus/jmpub.rules.yml
promtool test rules deploy/prometheus/jmpub.rules.test.yml
go test -tags integration -count=1 -timeout 4m -run 'TestAlert' ./cmd/jmpub
(cd deploy/grafana && go mod tidy -diff && go vet ./... && go test -count=1 ./...)
