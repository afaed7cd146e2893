#!/usr/bin/env bash
# Runs a Kafka Connect worker with the file sink and Apache Iceberg's sink. The jars are collected once, into FOLDER. It needs
# java (17 or later) and mvn.
#
#   KAFKA_BROKERS=127.0.0.1:9092 examples/connect/worker.sh FOLDER [ADDRESS]
#
# ADDRESS, by default http://127.0.0.1:8083, is where it is told what to do. Its environment has what the connectors need:
# CONNECT_FILE; ICEBERG_CATALOG_URI, ICEBERG_WAREHOUSE and ICEBERG_COMMIT_MS (by default 60000). CONNECT_FLUSH_MS (by default
# 10000) is the time between two commits of offsets, and the longest that a sink which gets nothing is not called.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ $# -ge 1 ] && [ -n "${KAFKA_BROKERS:-}" ] || { sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
export ICEBERG_COMMIT_MS="${ICEBERG_COMMIT_MS:-60000}"
mkdir -p "$1"
folder=$(cd "$1" && pwd)
collect() { # profile, folder
  [ ! -e "$2" ] || return 0
  rm -rf "$2.part"
  mvn -q -B -f "$here/pom.xml" -P "$1" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$2.part" >&2
  mv "$2.part" "$2"
}
collect worker "$folder/libs"
mkdir -p "$folder/plugins"
collect file "$folder/plugins/file"
collect iceberg "$folder/plugins/iceberg"
{
  cat "$here/worker.properties"
  echo "bootstrap.servers=$KAFKA_BROKERS"
  echo "plugin.path=$folder/plugins"
  echo "listeners=${2:-http://127.0.0.1:8083}"
  echo "offset.flush.interval.ms=${CONNECT_FLUSH_MS:-10000}"
} >"$folder/worker.properties"
exec java -Xmx"${CONNECT_HEAP:-512m}" -Dlog4j2.configurationFile="file:$here/log4j2.properties" -cp "$folder/libs/*" \
  org.apache.kafka.connect.cli.ConnectDistributed "$folder/worker.properties"
