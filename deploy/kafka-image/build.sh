#!/usr/bin/env bash
# Builds a container image of Apache Kafka for the tests, where the public apache/kafka image cannot be pulled. The jars come
# from Maven, the file system from Debian. It needs docker, mvn, debootstrap and root; the image is built once.
#
#   deploy/kafka-image/build.sh [image name] [Kafka release]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
image=${1:-jmpub-test/kafka:4.1.0}
release=${2:-${image##*:}}
if docker image inspect "$image" >/dev/null 2>&1; then
  echo "$image is there already"
  exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -Dkafka.version="$release" -DincludeScope=runtime -DoutputDirectory="$work/libs"
# The mirror that this machine's own packages come from.
mirror=$(sed -nE 's/^URIs: *([^ ]+).*/\1/p; s/^deb +(\[[^]]*\] +)?([^ ]+).*/\2/p' \
  /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1 || true)
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
java=openjdk-17-jre-headless
debootstrap --variant=minbase --include="$java,ca-certificates" "$suite" "$work/rootfs" ${mirror:+"$mirror"} >"$work/debootstrap.log" 2>&1 ||
  { tail -n 20 "$work/debootstrap.log"; exit 1; }
root="$work/rootfs"
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/usr/share/doc "$root"/usr/share/man
mkdir -p "$root/opt/kafka/libs" "$root/opt/kafka/bin"
cp "$work"/libs/*.jar "$root/opt/kafka/libs/"
install -m 755 "$here/entrypoint.sh" "$root/opt/kafka/entrypoint.sh"
tool() { # name, class
  printf '#!/bin/sh\nexec java -Xmx256m -cp "/opt/kafka/libs/*" %s "$@"\n' "$2" >"$root/opt/kafka/bin/$1"
  chmod 755 "$root/opt/kafka/bin/$1"
}
tool kafka-topics.sh org.apache.kafka.tools.TopicCommand
tool kafka-configs.sh kafka.admin.ConfigCommand
case $release in # The class moved.
  3.[0-7].*) tool kafka-console-consumer.sh kafka.tools.ConsoleConsumer ;;
  *) tool kafka-console-consumer.sh org.apache.kafka.tools.consumer.ConsoleConsumer ;;
esac
tool kafka-console-producer.sh org.apache.kafka.tools.ConsoleProducer
tar -C "$root" -c . | docker import \
  --change 'ENTRYPOINT ["/opt/kafka/entrypoint.sh"]' \
  --change 'ENV PATH=/opt/kafka/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
  --change 'EXPOSE 9092' - "$image"
