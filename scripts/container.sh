#!/usr/bin/env bash
# Builds the container image, and runs the compose file with it: start, readiness, a message that is read, a second process that takes
# over, stop, in containers without rights. It needs a container engine, Docker Compose, curl and a static busybox; the images of Go and
# Apache Kafka are those that JMPUB_TEST_GO_IMAGE and JMPUB_TEST_KAFKA_IMAGE name. Without the former, one is made of this machine's
# Go and the modules that it has, and the image must hold the binary that is built here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
export COMPOSE_PROJECT_NAME="jmpub-test-$$" JMPUB_IMAGE="jmpub-test/jmpub:$$" KAFKA_IMAGE=${JMPUB_TEST_KAFKA_IMAGE:-apache/kafka:4.1.0}
composer=(docker compose)
docker compose version >/dev/null 2>&1 || composer=(docker-compose --log-level ERROR)
compose() { "${composer[@]}" -f "$work/compose.yaml" "$@"; }
cleanup() {
  local code=$?
  trap - EXIT
  if [ -f "$work/compose.yaml" ]; then
    [ "$code" = 0 ] || compose logs --no-color --tail 30 || true
    compose down -v --remove-orphans -t 1 >"$work/down.log" 2>&1 || cat "$work/down.log"
  fi
  # The build stage is an image without a name, made after that of Go.
  docker images -q --filter dangling=true --filter "since=jmpub-test/go:$$" 2>/dev/null | xargs -r docker rmi -f >/dev/null 2>&1 || true
  docker rmi -f "$JMPUB_IMAGE" "jmpub-test/go:$$" >/dev/null 2>&1 || true
  rm -rf "$work"
  exit "$code"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

fail() { echo "$0: $1" >&2; exit 1; }
# within SECONDS WHAT COMMAND...: tries a command until it succeeds.
within() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >"$work/last.log" 2>&1; do
    [ "$SECONDS" -lt "$end" ] || { cat "$work/last.log"; fail "$what"; }
    sleep 1
  done
}

arguments=(--build-arg GO_IMAGE="${JMPUB_TEST_GO_IMAGE:-jmpub-test/go:$$}")
if [ -z "${JMPUB_TEST_GO_IMAGE-}" ]; then
  scripts/goimage.sh | docker import \
    --change 'ENV PATH=/usr/local/go/bin:/bin GOTOOLCHAIN=local HOME=/tmp' - "jmpub-test/go:$$" >/dev/null
  arguments+=(--build-arg GOPROXY=file:///modules --build-arg GONOSUMDB='*')
fi
docker build --force-rm -f deploy/Dockerfile -t "$JMPUB_IMAGE" "${arguments[@]}" . >"$work/build.log" 2>&1 ||
  { tail -n 30 "$work/build.log"; fail "the image does not build"; }
docker run --rm --cap-drop ALL --read-only --network none "$JMPUB_IMAGE" version
if [ -z "${JMPUB_TEST_GO_IMAGE-}" ]; then # Another image has another release of Go.
  made=$(docker create "$JMPUB_IMAGE")
  docker cp "$made:/jmpub" "$work/jmpub" >/dev/null
  docker rm "$made" >/dev/null
  scripts/build.sh "$work/outside"
  cmp "$work/jmpub" "$work/outside" || fail "the image's binary is not the one that is built outside"
fi

sed '/^name:/d' deploy/compose.yaml >"$work/compose.yaml" # Releases before 2 do not know it.
cp deploy/compose.env "$work/"
echo JMPUB_KAFKA_BROKERS=elsewhere:9092 >"$work/jmpub.env"
compose --profile real config >"$work/config.log"
grep -q 'JMPUB_KAFKA_BROKERS: elsewhere:9092' "$work/config.log" || fail "jmpub.env does not decide over compose.env"
compose --profile observe config >"$work/observe.log"
grep -q 'image: grafana/' "$work/observe.log" || fail "the profile observe has no Grafana"
while read -r mounted; do
  [ -e "deploy/$mounted" ] || fail "compose.yaml mounts deploy/$mounted, which is not there"
done < <(grep -v 'file:' "$work/observe.log" | sed -nE "s|.*$work/([a-z/]*).*|\\1|p")

compose up -d --no-build kafka sim jmpub 2>"$work/up.log" || { cat "$work/up.log"; fail "docker-compose up"; }
within 120 "jmpub is not ready" curl -fsS http://127.0.0.1:9464/readyz
message() { # The consumer leaves with 0, also where it has waited for nothing.
  compose exec -T kafka /opt/kafka/bin/kafka-console-consumer.sh --bootstrap-server localhost:9092 \
    --topic jmessage.single --from-beginning --isolation-level read_committed --max-messages 1 --timeout-ms 30000 2>&1 |
    grep -o '"msgid":[0-9]*'
}
within 120 "no message is there" message
cat "$work/last.log"

first=$(compose ps -q jmpub)
rights='{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.SecurityOpt}} {{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}'
for container in "$first" "$(compose ps -q sim)"; do
  [ "$(docker inspect -f "$rights" "$container")" = "true [ALL] [no-new-privileges:true] 536870912 100" ] ||
    fail "a container has rights that it does not need: $(docker inspect -f "$rights" "$container")"
done
second=$(compose run -d --no-deps jmpub 2>/dev/null | tail -n 1)
said() { docker logs "$1" >"$work/said.log" 2>&1 && grep -q "$2" "$work/said.log"; }
within 60 "the second process does not stand by" said "$second" 'standing by'
docker stop -t 20 "$first" >/dev/null
[ "$(docker inspect -f '{{.State.ExitCode}} {{.RestartCount}}' "$first")" = "0 0" ] || fail "the first process did not leave with 0"
within 20 "the second process did not take over" said "$second" 'msg=publishing\|"msg":"publishing"'
[ "$(docker inspect -f '{{.State.Running}} {{.RestartCount}}' "$second")" = "true 0" ] || fail "the second process was started again"
docker stop -t 20 "$second" >/dev/null
[ "$(docker inspect -f '{{.State.ExitCode}}' "$second")" = 0 ] || fail "the second process did not leave with 0"
echo "image and compose file work"
