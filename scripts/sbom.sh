#!/usr/bin/env bash
# Writes the bill of materials of the last commit's binary, as cyclonedx-gomod makes it, and checks it: it is valid CycloneDX by the
# schema of its version, holds what is linked and nothing else, each module in its version and Go's standard library, and names
# the licences of each.
#
#   scripts/sbom.sh [FILE]      by default dist/jmpub.cdx.json
#
# It is of the binary for Linux; GOARCH may name another processor.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=v1.10.0
validator=v0.7.0
spec=1.6
out=${1:-dist/jmpub.cdx.json}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The tools are built in a module of their own: `go install` asks for a list of their versions, which not every proxy has.
tools=${XDG_CACHE_HOME:-$HOME/.cache}/jmpub/cyclonedx-gomod-$version-jv-$validator
if [ ! -d "$tools" ]; then
  mkdir -p "$work/module" "$work/tools" "$(dirname "$tools")"
  (cd "$work/module" && unset GOARCH && go mod init tools &&
    go mod edit -require="github.com/CycloneDX/cyclonedx-gomod@$version" -require="github.com/santhosh-tekuri/jsonschema/cmd/jv@$validator" &&
    go build -mod=mod -o "$work/tools/" github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod github.com/santhosh-tekuri/jsonschema/cmd/jv &&
    schemas=$(go list -mod=mod -m -f '{{.Dir}}' github.com/CycloneDX/cyclonedx-go)/schema &&
    cp "$schemas/bom-$spec.schema.json" "$schemas/spdx.schema.json" "$work/tools/" &&
    cp "$schemas/jsf-0.82.schemax.json" "$work/tools/jsf-0.82.schema.json") >"$work/build.log" 2>&1 ||
    { cat "$work/build.log"; echo "$0: cyclonedx-gomod $version cannot be built" >&2; exit 1; }
  mv "$work/tools" "$tools"
fi

export GOOS=linux CGO_ENABLED=0
git clone -q . "$work/jmpub" # The tool cannot read a repository with several work trees.
"$work/jmpub/scripts/build.sh" "$work/binary"
go version -m "$work/binary" >"$work/linked"
(cd "$work/jmpub" && "$tools/cyclonedx-gomod" app -json -output-version "$spec" -std -noserial -notimestamp -main cmd/jmpub \
  -output "$work/made.json" .) >"$work/made.log" 2>&1 || { cat "$work/made.log"; exit 1; }

# The licences are those of docs/dependencies.md, which scripts/licenses.sh checks: the tool takes some for others.
python3 - "$work/made.json" "$work/linked" "$work/jmpub/docs/dependencies.md" "$work/bill.json" <<'END'
import json, re, sys

made, linked, page = (open(name, encoding="utf-8").read() for name in sys.argv[1:4])
bill, lines = json.loads(made), [line.split() for line in linked.splitlines()]
wanted = {("std", lines[0][-1])} | {tuple(line[1:3]) for line in lines if line[0] == "dep"}
found = {(c["name"], c["version"]): c for c in bill["components"]}
licences = {"std": {"BSD-3-Clause"}}
for part, names in re.findall(r"^\| `(\S+)` \| ([^|]+) \|$", page.partition("licences: begin")[2], re.M):
    module = max((name for name, _ in found if f"{part}/".startswith(f"{name}/")), key=len, default="")
    licences.setdefault(module, set()).update(names.split(", "))
bill["metadata"]["component"]["licenses"] = [{"license": {"id": "Apache-2.0"}}]
for (name, _), component in found.items():
    component["licenses"] = [{"license": {"id": licence}} for licence in sorted(licences.get(name, ()))]
with open(sys.argv[4], "w", encoding="utf-8") as file:
    json.dump(bill, file, indent=2)
wrong = [f"{' '.join(m)} is linked and not in the bill" for m in wanted - found.keys()]
wrong += [f"{' '.join(m)} is in the bill and not linked" for m in found.keys() - wanted]
wrong += [f"{' '.join(m)} has no licence" for m, component in found.items() if not component["licenses"]]
sys.exit("\n".join(sorted(wrong)) or None)
END

valid() { "$tools/jv" --assert-format --map "http://cyclonedx.org/schema=$tools" "$tools/bom-$spec.schema.json" "$1" >"$work/valid.log" 2>&1; }
sed 's/"purl"/"url"/' "$work/bill.json" >"$work/wrong.json"
if valid "$work/wrong.json"; then
  echo "$0: a bill with a member that CycloneDX does not know is not refused, so the check proves nothing" >&2
  exit 1
fi
valid "$work/bill.json" || { cat "$work/valid.log" >&2; echo "$0: the bill is not valid CycloneDX $spec" >&2; exit 1; }
mkdir -p "$(dirname "$out")"
cp "$work/bill.json" "$out"
echo "$out: valid CycloneDX $spec, $(grep -c '"bom-ref"' "$out") parts, the licences of each"
