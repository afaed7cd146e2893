#!/usr/bin/env bash
# Builds container images of Apache Kafka for the tests, where the public apache/kafka image cannot be pulled. The jars come
# from Maven, the file system from Debian. It needs docker, mvn, debootstrap and root; each image is built once. The release is
# the image's tag.
#
#   deploy/kafka-image/build.sh [image name...]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ $# -gt 0 ] || set -- jmpub-test/kafka:4.1.0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# rootfs makes the file system without Kafka, once for all images.
rootfs() {
  [ ! -d "$work/rootfs" ] || return 0
  # The mirror that this machine's own packages come from.
  local mirror suite java=openjdk-17-jre-headless
  mirror=$(sed -nE 's/^URIs: *([^ ]+).*/\1/p; s/^deb +(\[[^]]*\] +)?([^ ]+).*/\2/p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1 || true)
  suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
  debootstrap --variant=minbase --include="$java,ca-certificates" "$suite" "$work/rootfs" ${mirror:+"$mirror"} >"$work/debootstrap.log" 2>&1 ||
    { tail -n 20 "$work/debootstrap.log"; exit 1; }
  rm -rf "$work/rootfs"/var/cache/apt/archives/*.deb "$work/rootfs"/usr/share/doc "$work/rootfs"/usr/share/man
}

tool() { # name, class
  # shellcheck disable=SC2016 # It is for the script that is written here.
  printf '#!/bin/sh\nexec java -Xmx256m ${KAFKA_OPTS:-} -XX:SharedArchiveFile=/opt/kafka/kafka.jsa -XX:+UseSerialGC -cp "/opt/kafka/libs/*" %s "$@"\n' "$2" >"$kafka/bin/$1"
  chmod 755 "$kafka/bin/$1"
}

import() { # image
  tar -C "$work/rootfs" -c . | docker import \
    --change 'ENTRYPOINT ["/opt/kafka/entrypoint.sh"]' \
    --change 'ENV PATH=/opt/kafka/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    --change 'EXPOSE 9092' - "$1" >/dev/null
}

# archive has a broker write down the classes that it has loaded (JEP 350), so that the next ones start with two thirds of the work. Java
# does without an archive that does not fit.
archive() { # image
  local node
  node=$(docker run -d -e KAFKA_OPTS="-XX:TieredStopAtLevel=1 -XX:ArchiveClassesAtExit=/opt/kafka/kafka.jsa" "$1")
  for _ in $(seq 60); do
    ! docker logs "$node" 2>&1 | grep -q 'Kafka Server started' || break
    sleep 1
  done
  docker stop -t 60 "$node" >/dev/null
  docker cp "$node:/opt/kafka/kafka.jsa" "$kafka/" || { docker logs "$node"; docker rm -f -v "$node"; return 1; }
  docker rm -f -v "$node" >/dev/null
}

for image in "$@"; do
  if docker image inspect "$image" >/dev/null 2>&1; then
    echo "$image is there already"
    continue
  fi
  release=${image##*:}
  rootfs
  kafka="$work/rootfs/opt/kafka"
  rm -rf "$kafka"
  mkdir -p "$kafka/libs" "$kafka/bin"
  mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -Dkafka.version="$release" -DincludeScope=runtime -DoutputDirectory="$kafka/libs"
  install -m 755 "$here/entrypoint.sh" "$kafka/entrypoint.sh"
  tool kafka-topics.sh org.apache.kafka.tools.TopicCommand
  tool kafka-configs.sh kafka.admin.ConfigCommand
  case $release in # The class moved.
    3.[0-7].*) tool kafka-console-consumer.sh kafka.tools.ConsoleConsumer ;;
    *) tool kafka-console-consumer.sh org.apache.kafka.tools.consumer.ConsoleConsumer ;;
  esac
  tool kafka-console-producer.sh org.apache.kafka.tools.ConsoleProducer
  import "$image-bare"
  archive "$image-bare"
  docker image rm "$image-bare" >/dev/null
  import "$image"
  echo "$image is built"
done
