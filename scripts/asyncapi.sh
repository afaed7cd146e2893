#!/usr/bin/env bash
# Validates docs/asyncapi.yaml, and the schemas that it refers to, with AsyncAPI's own parser, and the Avro schema with the one
# that belongs to it. It needs Node.js with npm, keeps the parsers in the user's cache folder, and fails if it cannot be installed or finds an error or a warning. That the parser
# finds anything at all is tried on broken copies first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=3.6.6
avro=3.1.0
cache=${XDG_CACHE_HOME:-$HOME/.cache}/jmpub/asyncapi-parser-$version-avro-$avro

if [ ! -e "$cache/installed" ]; then
  mkdir -p "$cache"
  npm install --prefix "$cache" --no-audit --no-fund --no-save --ignore-scripts --loglevel=error "@asyncapi/parser@$version" \
    "@asyncapi/avro-schema-parser@$avro" >/dev/null
  printf '{}\n' >"$cache/package.json"
  touch "$cache/installed"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
refused() { # refused WHAT FILE SED_EXPRESSION: the document with one change must not pass.
  rm -rf "$work/docs"
  cp -R docs "$work/docs"
  sed -i "$3" "$work/docs/$2"
  cmp -s "docs/$2" "$work/docs/$2" && { echo "$0: nothing was changed for: $1"; exit 1; }
  if node scripts/asyncapi.mjs "$cache" "$work/docs/asyncapi.yaml" >"$work/out" 2>&1 || ! grep -q ": error: " "$work/out"; then
    echo "$0: the parser does not refuse $1:"
    cat "$work/out"
    exit 1
  fi
}
refused "an unknown action" asyncapi.yaml 's/action: send/action: shout/'
refused "an unknown channel" asyncapi.yaml 's|#/channels/group"|#/channels/grupp"|'
refused "a schema that is not there" asyncapi.yaml 's|schemas/window.json|schemas/windo.json|'
refused "a schema that is none" schemas/window.json 's/"minimum": 0/"minimum": "no"/'
refused "an Avro schema that is none" schemas/message.avsc 's/"name": "msgid", "type": "long"/"name": "msgid", "type": "lang"/'

node scripts/asyncapi.mjs "$cache" docs/asyncapi.yaml
