#!/usr/bin/env bash
# Builds the container image for both platforms by buildx, as deploy/Dockerfile says, and checks what is in the archive: for each platform
# an image with its labels, user and command, that holds a static binary for that processor and certificates alone; and each of them shows
# jmpub at work, exactly once.
#
#   scripts/platforms.sh [ARCHIVE]     by default dist/jmpub-image.tar, an OCI archive
#
# It needs a container engine and qemu-user-static, which runs what is for another processor. BUILDX_BUILDER names a builder of `docker
# buildx` for several platforms, which that of an engine itself is not. Without it, buildx and BuildKit are compiled from their modules, which takes
# minutes once, and BuildKit runs here; that needs root and runc. JMPUB_TEST_GO_IMAGE names the image of Go; without it, one is made as for
# scripts/container.sh, and each image must hold the binary that is built here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
buildx_version=v0.38.2 buildkit_version=v0.34.2
archive=${1:-dist/jmpub-image.tar}
platforms=(amd64 arm64)
work=$(mktemp -d)
daemon=""
cleanup() {
  local code=$?
  trap - EXIT
  if [ -n "$daemon" ]; then
    kill "$daemon" 2>/dev/null || true
    wait "$daemon" || true
  fi
  for arch in "${platforms[@]}"; do
    docker rmi -f "jmpub-test/platforms-$arch:$$" >/dev/null 2>&1 || true
  done
  rm -rf "$work"
  exit "$code"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

fail() { echo "$0: $1" >&2; exit 1; }
declare -A machine=([amd64]=x86-64 [arm64]='ARM aarch64') processor=([amd64]=x86_64 [arm64]=aarch64)
type file >/dev/null 2>&1 || fail "there is no file; on Debian: apt-get install file"
for arch in "${platforms[@]}"; do
  [ "${processor[$arch]}" = "$(uname -m)" ] || type "qemu-${processor[$arch]}-static" >/dev/null 2>&1 ||
    fail "there is no qemu-${processor[$arch]}-static; on Debian: apt-get install qemu-user-static"
done

buildx=(docker buildx)
if [ -z "${BUILDX_BUILDER-}" ]; then
  tools=${XDG_CACHE_HOME:-$HOME/.cache}/jmpub/buildx-$buildx_version-buildkit-$buildkit_version
  if [ ! -d "$tools" ]; then # In a module of their own: what BuildKit's go.mod excludes, `go install` does not know how to.
    mkdir -p "$work/module" "$work/tools" "$(dirname "$tools")"
    (cd "$work/module" && go mod init tools &&
      go mod edit -require="github.com/docker/buildx@$buildx_version" -require="github.com/moby/buildkit@$buildkit_version" &&
      CGO_ENABLED=0 go build -mod=mod -o "$work/tools/" github.com/docker/buildx/cmd/buildx github.com/moby/buildkit/cmd/buildkitd) \
      >"$work/tools.log" 2>&1 || { tail -n 30 "$work/tools.log"; fail "buildx and BuildKit cannot be built"; }
    mv "$work/tools" "$tools"
  fi
  "$tools/buildkitd" --root "$work/buildkit" --addr "unix://$work/buildkit.sock" --containerd-worker=false >"$work/buildkit.log" 2>&1 &
  daemon=$!
  buildx=("$tools/buildx")
  export BUILDX_CONFIG=$work/buildx BUILDX_BUILDER=platforms
  "${buildx[@]}" create --name "$BUILDX_BUILDER" --driver remote "unix://$work/buildkit.sock" >/dev/null
  "${buildx[@]}" inspect --bootstrap --timeout 60s >"$work/inspect.log" 2>&1 ||
    { tail -n 5 "$work/buildkit.log" "$work/inspect.log"; fail "BuildKit does not start"; }
fi

arguments=(--build-arg GO_IMAGE="${JMPUB_TEST_GO_IMAGE:-jmpub-test/go}")
if [ -z "${JMPUB_TEST_GO_IMAGE-}" ]; then # A folder in the image's place; it has no environment, and so Go stands where it is looked for.
  mkdir -p "$work/go/usr/bin"
  scripts/goimage.sh | tar -x -C "$work/go"
  ln -s ../local/go/bin/go "$work/go/usr/bin/go"
  arguments+=(--build-context "jmpub-test/go=$work/go" --build-arg GOPROXY=file:///modules --build-arg GONOSUMDB='*')
fi
build() { # build ARGUMENT...
  "${buildx[@]}" build --progress plain -f deploy/Dockerfile "${arguments[@]}" "$@" . >"$work/build.log" 2>&1 ||
    { tail -n 30 "$work/build.log"; fail "the image does not build"; }
}
mkdir -p "$(dirname "$archive")"
build --platform "linux/${platforms[0]},linux/${platforms[1]}" --output "type=oci,dest=$archive"

# in_archive PLATFORM: the digest of its image's configuration. What tells how an image was built stands beside the images, for no platform.
in_archive() {
  python3 - "$archive" "$1" <<'END'
import json, sys, tarfile

with tarfile.open(sys.argv[1]) as archive:
    def read(name):
        return json.load(archive.extractfile(name))

    def blob(descriptor):
        return read("blobs/" + descriptor["digest"].replace(":", "/"))

    images = {f"{p['os']}/{p['architecture']}": image for image in blob(read("index.json")["manifests"][0])["manifests"] if (p := image["platform"])}
    images.pop("unknown/unknown", None)
    if len(images) != 2:
        sys.exit(f"images for {', '.join(images)}")
    print(blob(images[sys.argv[2]])["config"]["digest"])
END
}

wanted='[/jmpub] [run] 65532:65532 map[9464/tcp:{}] jmpub Apache-2.0'
facts='{{.Config.Entrypoint}} {{.Config.Cmd}} {{.Config.User}} {{.Config.ExposedPorts}} {{index .Config.Labels "org.opencontainers.image.title"}} {{index .Config.Labels "org.opencontainers.image.licenses"}}'
for arch in "${platforms[@]}"; do
  image=jmpub-test/platforms-$arch:$$
  build --platform "linux/$arch" --provenance=false --output "type=docker,name=$image,dest=$work/$arch.tar" # Nothing is compiled again.
  docker load -q -i "$work/$arch.tar" >/dev/null
  [ "$(docker inspect -f '{{.Id}}' "$image")" = "$(in_archive "linux/$arch")" ] || fail "the archive has another image for $arch"
  [ "$(docker inspect -f '{{.Os}}/{{.Architecture}}' "$image")" = "linux/$arch" ] || fail "the image for $arch says that it is for another platform"
  [ "$(docker inspect -f "$facts" "$image")" = "$wanted" ] || fail "the image for $arch is $(docker inspect -f "$facts" "$image")"

  made=$(docker create --platform "linux/$arch" "$image")
  docker cp "$made:/jmpub" "$work/jmpub-$arch" >/dev/null
  docker export "$made" | tar -t | grep -vE '/$|^(dev|proc|sys|\.dockerenv|etc/(hosts|hostname|mtab|resolv\.conf))' | sort >"$work/files"
  docker rm "$made" >/dev/null
  [ "$(xargs <"$work/files")" = "etc/ssl/certs/ca-certificates.crt jmpub" ] || fail "the image for $arch holds $(xargs <"$work/files")"
  file -b "$work/jmpub-$arch" | grep -q "${machine[$arch]}.*statically linked" || fail "for $arch: $(file -b "$work/jmpub-$arch")"
  if [ -z "${JMPUB_TEST_GO_IMAGE-}" ]; then # Another image has another release of Go.
    GOARCH=$arch scripts/build.sh "$work/outside"
    cmp "$work/jmpub-$arch" "$work/outside" || fail "the binary for $arch is not the one that is built outside"
  fi

  run=(docker run --rm --platform "linux/$arch" --cap-drop ALL --read-only --network none)
  if [ "${processor[$arch]}" = "$(uname -m)" ]; then
    run+=("$image")
  else # In the image itself, and without a change to what the kernel does with binaries.
    run+=(-v "$(command -v "qemu-${processor[$arch]}-static"):/qemu:ro" --entrypoint /qemu "$image" /jmpub)
  fi
  "${run[@]}" version | grep "linux/$arch" || fail "the image for $arch does not run"
  "${run[@]}" demo --for 10s --history 1h --rate 2 --json >"$work/demo.json" 2>"$work/demo.log" ||
    { cat "$work/demo.log" "$work/demo.json"; fail "the demo in the image for $arch fails"; }
  grep -E '"(missing|duplicated|published)"' "$work/demo.json" | xargs
done
echo "$archive: images for ${platforms[*]}"
