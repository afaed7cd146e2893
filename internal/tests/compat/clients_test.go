//go:build integration

package compat_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// seen is what every client shows of a record.
type seen struct {
	topic     string
	partition int32
	// offset, and the timestamp in milliseconds.
	offset, time int64
	key          string
	hasKey       bool
	// headers are name=value in their order, separated by commas: kcat does not show them otherwise.
	headers string
	value   [sha256.Size]byte
}

func seenOf(r *kgo.Record) seen {
	parts := make([]string, len(r.Headers))
	for i, h := range r.Headers {
		parts[i] = h.Key + "=" + string(h.Value)
	}
	return seen{
		topic: r.Topic, partition: r.Partition, offset: r.Offset, time: r.Timestamp.UnixMilli(), key: string(r.Key),
		hasKey: r.Key != nil, headers: strings.Join(parts, ","), value: sha256.Sum256(r.Value),
	}
}

func byPlace(a, b seen) int {
	return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition), cmp.Compare(a.offset, b.offset))
}

// everyClient reads all topics of a history by four clients, which must see the same.
func everyClient(t *testing.T, h *history, java *Java) {
	t.Helper()
	ctx := bounded(t)
	clients := []struct {
		name string
		read func() ([]seen, error)
	}{
		{"franz-go", func() ([]seen, error) { return franz(ctx, h.Addrs, h.topics()) }},
		{"Java client", func() ([]seen, error) { return javaClient(ctx, java.Reader(), h.Addrs, h.topics()) }},
		{"kcat", func() ([]seen, error) { return kcat(ctx, h.Addrs, h.topics()) }},
		{"console consumer", func() ([]seen, error) { return console(ctx, h, h.topics()) }},
	}
	all, errs := make([][]seen, len(clients)), make([]error, len(clients))
	var reading sync.WaitGroup
	for i := range clients {
		reading.Go(func() { all[i], errs[i] = clients[i].read() })
	}
	reading.Wait()
	for i := range clients {
		if errs[i] != nil {
			t.Errorf("%s: %v", clients[i].name, errs[i])
			continue
		}
		slices.SortFunc(all[i], byPlace)
		if i > 0 && errs[0] == nil {
			wantSame(t, clients[0].name, clients[i].name, all[0], all[i])
		}
		t.Logf("%s saw %d records", clients[i].name, len(all[i]))
	}
	counts := make(map[string]int)
	for i := range all[0] {
		counts[all[0][i].topic]++
	}
	t.Logf("by topic: %v", counts)
	for _, topic := range h.topics() {
		if counts[topic] == 0 {
			t.Errorf("nothing is in %s, so nothing is shown by it", topic)
		}
	}
	wantAborted(t, h, java, len(all[0]))
}

// wantAborted expects transactions to have been aborted that held events.
func wantAborted(t *testing.T, h *history, java *Java, committed int) {
	t.Helper()
	written, err := javaClient(bounded(t), java.UncommittedReader(), h.Addrs, h.topics())
	if err != nil || len(written) <= committed {
		t.Errorf("%d records are written and %d committed, so none was aborted (%v)", len(written), committed, err)
	}
	t.Logf("%d records of aborted transactions are unseen; jmpub was killed %d times", len(written)-committed, h.Injected["kill -9"])
}

// wantSame compares what two clients saw, sorted.
func wantSame(t *testing.T, nameA, nameB string, a, b []seen) {
	t.Helper()
	wrong := &complaints{t: t}
	defer wrong.end()
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && byPlace(a[0], b[0]) < 0:
			wrong.add("%s saw, and %s did not: %v", nameA, nameB, a[0])
			a = a[1:]
		case len(a) == 0 || byPlace(a[0], b[0]) > 0:
			wrong.add("%s saw, and %s did not: %v", nameB, nameA, b[0])
			b = b[1:]
		default:
			if a[0] != b[0] {
				wrong.add("%s saw %v\n%s saw %v", nameA, a[0], nameB, b[0])
			}
			a, b = a[1:], b[1:]
		}
	}
}

func javaClient(ctx context.Context, reader *JavaReader, brokers, topics []string) ([]seen, error) {
	var list []seen
	for r, err := range reader.Records(ctx, brokers, topics...) {
		if err != nil {
			return nil, err
		}
		list = append(list, seenOf(r))
	}
	return list, nil
}

// franz reads with franz-go. Nobody writes any more, and no transaction is open.
func franz(ctx context.Context, brokers, topics []string) ([]seen, error) {
	var list []seen
	err := franzRecords(ctx, brokers, topics, func(r *kgo.Record) { list = append(list, seenOf(r)) })
	return list, err
}

func franzRecords(ctx context.Context, brokers, topics []string, take func(*kgo.Record)) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer client.Close()
	type partition struct {
		topic  string
		number int32
	}
	left := make(map[partition]int64)
	ends, err := kadm.NewClient(client).ListCommittedOffsets(ctx, topics...)
	if err != nil {
		return err
	}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[partition{o.Topic, o.Partition}] = o.Offset
		}
	})
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("%d partitions left: %w", len(left), err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				take(r)
			}
			if at := (partition{r.Topic, r.Partition}); r.Offset >= left[at]-1 {
				delete(left, at)
			}
		})
	}
	return nil
}

// kcat reads with librdkafka's client, a topic at a time.
func kcat(ctx context.Context, brokers, topics []string) ([]seen, error) {
	var list []seen
	for _, topic := range topics {
		end := rand.Text()
		read := exec.CommandContext(ctx, "kcat", "-C", "-q", "-e", "-o", "beginning", "-b", strings.Join(brokers, ","), "-t", topic, //nolint:gosec // Ours.
			"-X", "isolation.level=read_committed", "-X", "check.crcs=true", "-f", `%t %p %o %T %K %S\n%k%s%h`+end)
		var stderr strings.Builder
		read.Stderr = &stderr
		out, err := read.Output()
		if err != nil {
			return nil, fmt.Errorf("%w: %s (the package kcat is needed)", err, stderr.String())
		}
		records, err := kcatRecords(string(out), end)
		if err != nil {
			return nil, fmt.Errorf("what kcat prints of %s: %w", topic, err)
		}
		list = append(list, records...)
	}
	return list, nil
}

// kcatRecords reads what kcat prints in the format of above.
func kcatRecords(out, end string) ([]seen, error) {
	var list []seen
	for out != "" {
		first, rest, _ := strings.Cut(out, "\n")
		var s seen
		var keyLen, valueLen int
		if _, err := fmt.Sscan(first, &s.topic, &s.partition, &s.offset, &s.time, &keyLen, &valueLen); err != nil {
			return nil, fmt.Errorf("%q: %w", first, err)
		}
		s.hasKey = keyLen >= 0
		keyLen, valueLen = max(0, keyLen), max(0, valueLen)
		if len(rest) < keyLen+valueLen {
			return nil, fmt.Errorf("%q: %w", first, io.ErrUnexpectedEOF)
		}
		s.key, s.value = rest[:keyLen], sha256.Sum256([]byte(rest[keyLen:keyLen+valueLen]))
		var ended bool
		if s.headers, out, ended = strings.Cut(rest[keyLen+valueLen:], end); !ended {
			return nil, fmt.Errorf("%q: %w", first, io.ErrUnexpectedEOF)
		}
		list = append(list, s)
	}
	return list, nil
}

// console reads with the console consumer that comes with Kafka, in a broker's container. It does not tell a record's topic,
// so there is one for each.
func console(ctx context.Context, h *history, topics []string) ([]seen, error) {
	var mu sync.Mutex
	var list []seen
	var errs []error
	var reading sync.WaitGroup
	for _, topic := range topics {
		reading.Go(func() {
			records, err := consoleTopic(ctx, h, topic)
			mu.Lock()
			defer mu.Unlock()
			list, errs = append(list, records...), append(errs, err)
		})
	}
	reading.Wait()
	return list, errors.Join(errs...)
}

func consoleTopic(ctx context.Context, h *history, topic string) ([]seen, error) {
	field, header, end, null := rand.Text(), rand.Text(), rand.Text(), rand.Text()
	out, err := h.Exec(ctx, 0, "sh", "-c", fmt.Sprintf(`kafka-console-consumer.sh --bootstrap-server %s `+
		`--topic %s --isolation-level read_committed --from-beginning --timeout-ms 45000 `+
		`--property print.timestamp=true --property print.partition=true --property print.offset=true --property print.headers=true `+
		`--property print.key=true --property print.value=true --property key.separator=%s --property headers.separator=%s `+
		`--property line.separator=%s --property null.literal=%s 2>/tmp/console-%s; `+
		`grep -E 'Processed a total of' /tmp/console-%s || cat /tmp/console-%s`,
		"kafka-1:9094", topic, field, header, end, null, topic, topic, topic))
	if err != nil {
		return nil, err
	}
	var list []seen
	parts := strings.Split(out, end)
	for _, text := range parts[:len(parts)-1] {
		s, err := consoleRecord(topic, text, field, header, null)
		if err != nil {
			return nil, fmt.Errorf("what the console consumer prints of %s: %w", topic, err)
		}
		list = append(list, s)
	}
	// The last thing is how many it says it was.
	last := strings.TrimSpace(parts[len(parts)-1])
	if want := fmt.Sprintf("Processed a total of %d messages", len(list)); !strings.HasSuffix(last, want) {
		return nil, fmt.Errorf("the console consumer ends %s with %q, not with %q", topic, last, want)
	}
	return list, nil
}

// consoleRecord reads "CreateTime:1<field>Partition:0<field>Offset:0<field>name:value<header>name:value<field>key<field>value".
func consoleRecord(topic, text, field, header, null string) (seen, error) {
	parts := strings.SplitN(text, field, 6)
	if len(parts) != 6 {
		return seen{}, fmt.Errorf("%q is no record", text)
	}
	var numbers [3]int64
	for i, name := range []string{"CreateTime:", "Partition:", "Offset:"} {
		number, ok := strings.CutPrefix(parts[i], name)
		n, err := strconv.ParseInt(number, 10, 64)
		if !ok || err != nil {
			return seen{}, fmt.Errorf("%q is not %s and a number", parts[i], name)
		}
		numbers[i] = n
	}
	s := seen{
		topic: topic, time: numbers[0], partition: int32(numbers[1]), offset: numbers[2],
		key: parts[4], hasKey: parts[4] != null, value: sha256.Sum256([]byte(parts[5])),
	}
	if !s.hasKey {
		s.key = ""
	}
	if parts[3] != "NO_HEADERS" {
		var headers []string
		for pair := range strings.SplitSeq(parts[3], header) {
			headers = append(headers, strings.Replace(pair, ":", "=", 1))
		}
		s.headers = strings.Join(headers, ",")
	}
	return s, nil
}
