#!/bin/sh
# Starts Apache Kafka, configured as the public apache/kafka image is: KAFKA_SOME_KEY is some.key (a double underscore is an
# underscore, a triple one a hyphen). Without any, one node is broker and controller.
set -eu
conf=/opt/kafka/config/server.properties
mkdir -p /opt/kafka/config /var/lib/kafka
if [ -z "${KAFKA_NODE_ID:-}${KAFKA_PROCESS_ROLES:-}" ]; then
  export KAFKA_NODE_ID=1 KAFKA_PROCESS_ROLES=broker,controller
  export KAFKA_LISTENERS="${KAFKA_LISTENERS:-PLAINTEXT://:9092,CONTROLLER://:9093}"
  export KAFKA_ADVERTISED_LISTENERS="${KAFKA_ADVERTISED_LISTENERS:-PLAINTEXT://localhost:9092}"
  export KAFKA_CONTROLLER_LISTENER_NAMES="${KAFKA_CONTROLLER_LISTENER_NAMES:-CONTROLLER}"
  export KAFKA_CONTROLLER_QUORUM_VOTERS="${KAFKA_CONTROLLER_QUORUM_VOTERS:-1@localhost:9093}"
  export KAFKA_LISTENER_SECURITY_PROTOCOL_MAP="${KAFKA_LISTENER_SECURITY_PROTOCOL_MAP:-CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT}"
  export KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR=1 KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR=1
  export KAFKA_TRANSACTION_STATE_LOG_MIN_ISR=1 KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS=0
fi
export KAFKA_LOG_DIRS="${KAFKA_LOG_DIRS:-/var/lib/kafka}"
: > "$conf"
env | grep '^KAFKA_' | while IFS='=' read -r name value; do
  case "$name" in KAFKA_HEAP_OPTS|KAFKA_OPTS|KAFKA_VERSION) continue ;; esac
  key=$(printf '%s' "${name#KAFKA_}" | tr '[:upper:]' '[:lower:]' | sed 's/___/-/g; s/__/\n/g; y/_/./; y/\n/_/')
  printf '%s=%s\n' "$key" "$value" >> "$conf"
done
# Java itself expands the star in a class path.
set -f
archive=/opt/kafka/kafka.jsa
run="java ${KAFKA_HEAP_OPTS:--Xmx512m -Xms128m} ${KAFKA_OPTS:-} -XX:+UseSerialGC -cp /opt/kafka/libs/*"
[ ! -f "$archive" ] || run="$run -XX:SharedArchiveFile=$archive"
[ -f "${KAFKA_LOG_DIRS%%,*}/meta.properties" ] ||
  $run kafka.tools.StorageTool format -t "${CLUSTER_ID:-5L6g3nShT-eMCtK--X86sw}" -c "$conf"
exec $run kafka.Kafka "$conf"
