package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/internal/lab/verify"
)

// The limit is what nobody who does this work can do without: the pages have to be fetched, and the records sent. Each part is measured by
// itself, in a process of its own, without what it prepares.

// usage is what something took.
type usage struct {
	// CPU is time in user mode and in the kernel.
	CPU      time.Duration `json:"cpu"`
	Wall     time.Duration `json:"wall"`
	PeakRSS  int64         `json:"peak_rss"` // bytes; 0 where it says nothing
	Requests int           `json:"requests"`
}

func cpuOf(r *syscall.Rusage) time.Duration { return time.Duration(r.Utime.Nano() + r.Stime.Nano()) }

// measure prints what fn takes of this process.
func measure(w io.Writer, requests int, fn func() error) error {
	var before, after syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
		return err
	}
	began := time.Now()
	if err := fn(); err != nil {
		return err
	}
	u := usage{Wall: time.Since(began), Requests: requests}
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
		return err
	}
	u.CPU = cpuOf(&after) - cpuOf(&before)
	return json.NewEncoder(w).Encode(u)
}

// fetch asks an API the same that it was asked before, and throws the answers away.
func fetch(ctx context.Context, out io.Writer, base string) error {
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	defer client.CloseIdleConnections()
	get := func(path string, to io.Writer) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, http.NoBody)
		if err != nil {
			return err
		}
		r.SetBasicAuth(appKey, masterSecret)
		res, err := client.Do(r)
		if err != nil {
			return err
		}
		defer func() { _ = res.Body.Close() }() // It was read to its end.
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("fetch %s: %s", path, res.Status)
		}
		_, err = io.Copy(to, res.Body)
		return err
	}
	var asked strings.Builder
	if err := get(requestsPath, &asked); err != nil {
		return err
	}
	queries := strings.Split(asked.String(), "\n")
	return measure(out, len(queries), func() error {
		for _, query := range queries {
			if err := get("/v2/messages?"+query, io.Discard); err != nil {
				return err
			}
		}
		return nil
	})
}

// codec is a compression by its name.
func codec(name string) (c kgo.CompressionCodec, known bool) {
	switch name {
	case "zstd":
		return kgo.ZstdCompression(), true
	case "lz4":
		return kgo.Lz4Compression(), true
	}
	return c, false
}

// produce sends the n records that stand under the prefix from once more, under another one: in the order of their keys, so many in a
// transaction.
func produce(ctx context.Context, out io.Writer, broker, from, to, compression string, n, together int) error {
	compressed, _ := codec(compression)
	records, err := load(ctx, broker, from, n)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.TransactionalID("bench-limit-"+to), kgo.ProducerBatchCompression(compressed),
		kgo.ManualFlushing(), kgo.MaxBufferedRecords(2*together))
	if err != nil {
		return err
	}
	defer client.Close()
	if err := createTopics(ctx, kadm.NewClient(client), to); err != nil {
		return err
	}
	if _, _, err := client.ProducerID(ctx); err != nil { // Asking for it is no part of the work.
		return err
	}
	for _, r := range records {
		r.Topic, r.Timestamp = to+strings.TrimPrefix(r.Topic, from), time.Time{}
	}
	runtime.GC() // What was loaded is to cost nothing of what follows.
	return measure(out, 0, func() error {
		for batch := range slices.Chunk(records, together) {
			if err := commit(ctx, client, batch); err != nil {
				return err
			}
		}
		return nil
	})
}

func commit(ctx context.Context, client *kgo.Client, batch []*kgo.Record) error {
	if err := client.BeginTransaction(); err != nil {
		return err
	}
	promise := kgo.AbortingFirstErrPromise(client)
	for _, r := range batch {
		client.Produce(ctx, r, promise.Promise())
	}
	if err := client.Flush(ctx); err != nil {
		return err
	}
	if err := promise.Err(); err != nil {
		return err
	}
	return client.EndTransaction(ctx, kgo.TryCommit)
}

const partitions = 6 // As jmpub makes them.

func createTopics(ctx context.Context, admin *kadm.Client, prefix string) error {
	made, err := admin.CreateTopics(ctx, partitions, -1, nil, verify.Topics(prefix)...)
	if err != nil {
		return err
	}
	var errs []error
	for _, topic := range made.Sorted() {
		if topic.Err != nil && !errors.Is(topic.Err, kerr.TopicAlreadyExists) {
			errs = append(errs, fmt.Errorf("create topic %s: %w", topic.Topic, topic.Err))
		}
	}
	return errors.Join(errs...)
}

// load reads the committed records of the event topics, n in all, and sorts them by their keys: that is the order in which the API has them,
// since their msgids have the same length.
func load(ctx context.Context, broker, prefix string, n int) ([]*kgo.Record, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics(verify.Topics(prefix)...), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var all []*kgo.Record
	for len(all) < n {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("read what %s has published: %d of %d records: %w", prefix, len(all), n, err)
		}
		all = append(all, fetches.Records()...)
	}
	slices.SortStableFunc(all, func(a, b *kgo.Record) int { return bytes.Compare(a.Key, b.Key) })
	return all, nil
}
