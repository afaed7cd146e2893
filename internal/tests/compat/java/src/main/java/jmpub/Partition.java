package jmpub;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Future;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.Utils;

/**
 * Tells in which partition the Java producer puts each key: by its hash, by its partitioner, and by sending it to a topic that
 * it makes with as many partitions as another one has. Arguments: brokers, that other topic, the topic to make. Keys come in
 * base64, one a line, and the answers in the same order.
 */
final class Partition {
    public static void main(String[] args) throws Exception {
        int partitions;
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", args[0]))) {
            partitions = admin.describeTopics(List.of(args[1])).allTopicNames().get().get(args[1]).partitions().size();
            admin.createTopics(List.of(new NewTopic(args[2], Optional.of(partitions), Optional.empty()))).all().get();
        }
        List<byte[]> keys = new ArrayList<>();
        var input = new BufferedReader(new InputStreamReader(System.in));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            keys.add(Base64.getDecoder().decode(line));
        }
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        // While a new topic's leaders come up, an idempotent producer with requests on their way can wait for ever for a sequence
        // number that none of them has seen.
        Map<String, Object> config = Map.of("bootstrap.servers", args[0], "linger.ms", "5", "enable.idempotence", "false");
        try (var producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (byte[] key : keys) {
                sent.add(producer.send(new ProducerRecord<>(args[2], key, new byte[0])));
            }
        }
        Line out = new Line();
        for (int i = 0; i < keys.size(); i++) {
            byte[] key = keys.get(i);
            out.of("\"hash\":" + Utils.toPositive(Utils.murmur2(key)) % partitions
                + ",\"partitioner\":" + BuiltInPartitioner.partitionForKey(key, partitions)
                + ",\"sent\":" + sent.get(i).get().partition());
        }
        out.flush();
    }
}
