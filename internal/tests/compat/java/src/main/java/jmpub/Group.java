package jmpub;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * A member of a consumer group. In each step it polls, prints the records, commits its offsets, says how far it is, and waits
 * for a line on standard input: so it can be killed when what it printed is just what is committed. It leaves the group when
 * the input ends. Arguments: brokers, group, topics separated by commas, group protocol, records a step at most.
 */
final class Group {
    /**
     * With a listener, partitions come and go within poll alone. Without one, the newer protocol's background thread gives them away at any
     * time: between a poll and its commit, so that another member reads the same records, or before their position is asked for.
     */
    private static final class OnlyInPoll implements ConsumerRebalanceListener {
        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        }
    }

    public static void main(String[] args) throws Exception {
        Map<String, Object> config = new java.util.HashMap<>(Map.of(
            "bootstrap.servers", args[0], "group.id", args[1], "group.protocol", args[3], "max.poll.records", args[4],
            "isolation.level", "read_committed", "enable.auto.commit", "false", "auto.offset.reset", "earliest"));
        if (args[3].equals("classic")) { // The other protocol has these from the broker.
            config.put("session.timeout.ms", "6000");
            config.put("heartbeat.interval.ms", "500");
        }
        Line out = new Line();
        var input = new BufferedReader(new InputStreamReader(System.in));
        try (var consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of(args[2].split(",")), new OnlyInPoll());
            do {
                ConsumerRecords<byte[], byte[]> polled = consumer.poll(Duration.ofMillis(100));
                for (ConsumerRecord<byte[], byte[]> r : polled) {
                    out.record(r);
                }
                if (!polled.isEmpty()) {
                    consumer.commitSync();
                }
                Set<TopicPartition> assigned = new HashSet<>(consumer.assignment());
                Map<TopicPartition, Long> ends = consumer.endOffsets(assigned); // The last stable offsets.
                boolean end = assigned.stream().allMatch(p -> consumer.position(p) >= ends.get(p));
                out.of("\"step\":{\"records\":" + polled.count() + ",\"assigned\":" + assigned.size() + ",\"end\":" + end + "}");
                out.flush();
            } while (input.readLine() != null);
        }
    }
}
