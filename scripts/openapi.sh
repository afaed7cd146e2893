#!/usr/bin/env bash
# Validates internal/web/openapi.json with Redocly's linter: the specification, and that its examples and references hold. It needs Node.js with
# npm, keeps the linter in the user's cache folder, and fails if it cannot be installed or finds an error or a warning. That it finds anything at
# all is tried on broken copies first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=2.77.0
cache=${XDG_CACHE_HOME:-$HOME/.cache}/jmpub/redocly-cli-$version

if [ ! -e "$cache/installed" ]; then
  mkdir -p "$cache"
  npm install --prefix "$cache" --no-audit --no-fund --no-save --ignore-scripts --loglevel=error "@redocly/cli@$version" >/dev/null
  touch "$cache/installed"
fi
export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true NO_COLOR=1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/redocly.yaml" <<'RULES'
extends: [recommended-strict]
rules:
  info-license: error
  operation-2xx-response: error
  operation-4xx-response: off # What takes no parameter cannot be asked wrongly.
  no-unused-components: error
  no-server-example.com: off
  security-defined: error
RULES
lint() { "$cache/node_modules/.bin/redocly" lint --config "$work/redocly.yaml" --format=stylish "$1"; }
refused() { # refused WHAT SED_EXPRESSION: the document with one change must not pass.
  sed "$2" internal/web/openapi.json >"$work/broken.json"
  cmp -s internal/web/openapi.json "$work/broken.json" && { echo "$0: nothing was changed for: $1"; exit 1; }
  if lint "$work/broken.json" >"$work/out" 2>&1; then
    echo "$0: the linter does not refuse $1:"
    cat "$work/out"
    exit 1
  fi
}
refused "a reference to nothing" 's|#/components/schemas/Verdict"|#/components/schemas/Verdikt"|'
refused "a type that is none" '0,/"type": "integer"/s//"type": "int"/'
refused "a path without its parameter" 's|"/api/v1/apps/{app_key}/pause"|"/api/v1/apps/{app}/pause"|'
refused "two operations of one name" 's|"operationId": "resume"|"operationId": "pause"|'

lint internal/web/openapi.json
