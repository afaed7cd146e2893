package jmpub;

import java.nio.charset.StandardCharsets;
import java.util.Base64;

import io.cloudevents.CloudEvent;
import io.cloudevents.kafka.KafkaMessageFactory;
import io.cloudevents.core.message.Encoding;
import io.cloudevents.core.message.MessageReader;

/**
 * Reads topics as {@link Read} does and gives each record to the CloudEvents SDK; prints the attributes that it finds, in
 * base64. Arguments: those of Read.
 */
final class CloudEvents {
    public static void main(String[] args) throws Exception {
        Line out = new Line();
        Read.each(args, r -> {
            MessageReader message = KafkaMessageFactory.createReader(r);
            if (message.getEncoding() != Encoding.BINARY) {
                throw new IllegalStateException(r.topic() + "/" + r.partition() + " at " + r.offset() + " is " + message.getEncoding());
            }
            CloudEvent e = message.toEvent();
            out.of("\"topic\":\"" + r.topic() + "\",\"partition\":" + r.partition() + ",\"offset\":" + r.offset()
                + ",\"id\":" + text(e.getId()) + ",\"source\":" + text(e.getSource()) + ",\"type\":" + text(e.getType())
                + ",\"specversion\":" + text(e.getSpecVersion()) + ",\"time\":" + text(e.getTime())
                + ",\"subject\":" + text(e.getSubject()) + ",\"datacontenttype\":" + text(e.getDataContentType())
                + ",\"extensions\":" + e.getExtensionNames().size()
                + ",\"data\":\"" + Base64.getEncoder().encodeToString(e.getData().toBytes()) + "\"");
        });
        out.flush();
    }

    private static String text(Object value) {
        return value == null ? "null"
            : '"' + Base64.getEncoder().encodeToString(value.toString().getBytes(StandardCharsets.UTF_8)) + '"';
    }
}
