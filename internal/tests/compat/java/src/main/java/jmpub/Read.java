package jmpub;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.Collectors;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Reads topics from their beginning to what is their end at the start, undecided transactions included: it waits until
 * those are decided. Arguments: brokers, topics separated by commas, isolation level. A topic that does not exist is empty.
 */
final class Read {
    /** For how long no partition may move on: longer than an abandoned transaction stays open by default. */
    private static final Duration STUCK = Duration.ofMinutes(4);

    public static void main(String[] args) throws Exception {
        Line out = new Line();
        each(args, out::record);
        out.flush();
    }

    /** Hands every record over. */
    static void each(String[] args, Consumer<ConsumerRecord<byte[], byte[]>> take) throws Exception {
        Map<TopicPartition, Long> ends = ends(args[0], args[1].split(","));
        Map<String, Object> config = Map.of(
            "bootstrap.servers", args[0], "isolation.level", args[2], "enable.auto.commit", "false",
            "auto.offset.reset", "earliest", "max.poll.records", "5000", "fetch.max.wait.ms", "200");
        try (var consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.assign(ends.keySet());
            consumer.seekToBeginning(ends.keySet());
            long moved = System.nanoTime();
            Map<TopicPartition, Long> at = new HashMap<>();
            while (!ends.isEmpty()) {
                for (ConsumerRecord<byte[], byte[]> r : consumer.poll(Duration.ofMillis(200))) {
                    Long end = ends.get(new TopicPartition(r.topic(), r.partition()));
                    if (end != null && r.offset() < end) {
                        take.accept(r);
                    }
                }
                for (TopicPartition p : List.copyOf(ends.keySet())) {
                    long position = consumer.position(p); // Behind markers and aborted records too.
                    if (!Long.valueOf(position).equals(at.put(p, position))) {
                        moved = System.nanoTime();
                    }
                    if (position >= ends.get(p)) {
                        ends.remove(p);
                    }
                }
                consumer.pause(consumer.assignment().stream().filter(p -> !ends.containsKey(p)).toList());
                if (System.nanoTime() - moved > STUCK.toNanos()) {
                    throw new IllegalStateException("no partition moves on; positions " + at + ", to be read up to " + ends);
                }
            }
        }
    }

    /** The high watermarks of the partitions that hold something, whatever is committed of it. */
    private static Map<TopicPartition, Long> ends(String brokers, String[] topics) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", brokers))) {
            Set<String> there = new HashSet<>(admin.listTopics().names().get());
            List<TopicPartition> partitions = new ArrayList<>();
            there.retainAll(Set.of(topics));
            for (TopicDescription topic : admin.describeTopics(there).allTopicNames().get().values()) {
                topic.partitions().forEach(p -> partitions.add(new TopicPartition(topic.name(), p.partition())));
            }
            var first = admin.listOffsets(partitions.stream().collect(Collectors.toMap(p -> p, p -> OffsetSpec.earliest()))).all().get();
            var last = admin.listOffsets(partitions.stream().collect(Collectors.toMap(p -> p, p -> OffsetSpec.latest()))).all().get();
            Map<TopicPartition, Long> ends = new HashMap<>();
            last.forEach((p, end) -> {
                if (first.get(p).offset() < end.offset()) {
                    ends.put(p, end.offset());
                }
            });
            return ends;
        }
    }
}
