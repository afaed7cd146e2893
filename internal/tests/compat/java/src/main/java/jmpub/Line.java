package jmpub;

import java.io.BufferedOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Base64;

import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;

/** Writes JSON lines to standard output. Bytes are in base64, since not every record is text. */
final class Line {
    private final BufferedOutputStream out = new BufferedOutputStream(new FileOutputStream(FileDescriptor.out), 1 << 20);
    private final StringBuilder text = new StringBuilder();

    /** A record, with all that a consumer sees of it. */
    void record(ConsumerRecord<byte[], byte[]> r) {
        text.append("{\"topic\":\"").append(r.topic()).append("\",\"partition\":").append(r.partition())
            .append(",\"offset\":").append(r.offset()).append(",\"timestamp\":").append(r.timestamp())
            .append(",\"timestamp_type\":\"").append(r.timestampType()).append("\",\"key\":");
        bytes(r.key());
        text.append(",\"headers\":[");
        char before = ' ';
        for (Header h : r.headers()) {
            text.append(before).append("{\"key\":");
            bytes(h.key().getBytes(StandardCharsets.UTF_8));
            text.append(",\"value\":");
            bytes(h.value());
            text.append('}');
            before = ',';
        }
        text.append("],\"value\":");
        bytes(r.value());
        text.append("}\n");
        end();
    }

    /** Members of an object, already in JSON. */
    void of(String members) {
        text.append('{').append(members).append("}\n");
        end();
    }

    void flush() {
        try {
            out.flush();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private void bytes(byte[] b) {
        if (b == null) {
            text.append("null");
        } else {
            text.append('"').append(Base64.getEncoder().encodeToString(b)).append('"');
        }
    }

    private void end() {
        try {
            out.write(text.toString().getBytes(StandardCharsets.ISO_8859_1)); // All of it is ASCII.
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        text.setLength(0);
    }
}
