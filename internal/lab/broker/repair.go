package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/pipeline"
)

// runningName is a file that is there while a broker uses the folder, and stays if the broker was killed.
const runningName = "jmpub.running"

// enterFolder notes that a broker uses the folder, after it has repaired what a killed one left.
func enterFolder(dir string, brokers int) error {
	running := filepath.Join(dir, runningName)
	_, err := os.Stat(running)
	switch {
	case err == nil:
		err = repair(dir, brokers)
	case errors.Is(err, fs.ErrNotExist):
		err = os.WriteFile(running, nil, 0o600)
	}
	if err != nil {
		return &pipeline.Fault{
			Op: "open data folder " + dir, Err: err, Hint: "restore the data there, or name an empty folder",
		}
	}
	return nil
}

// leaveFolder notes that the folder is complete.
func leaveFolder(dir string) error {
	if err := os.Remove(filepath.Join(dir, runningName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("leave data folder %s: %w", dir, err)
	}
	return nil
}

// repair ends the transactions that a killed broker left open. On loading, kfake counts them as aborted but writes no
// marker of their end. Without one a read_committed reader takes everything that the same producer commits later for a
// part of the aborted transaction and drops it, and the next loading takes the aborted part for committed.
//
// It runs before anyone can connect, on ports that nobody knows, and reads all of the data.
func repair(dir string, brokers int) error {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(brokers), kfake.DataDir(dir))
	if err != nil {
		return err
	}
	defer cluster.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.KeepControlRecords())
	if err != nil {
		return fmt.Errorf("repair: %w", err)
	}
	defer client.Close()
	if err := endTransactions(context.Background(), client); err != nil {
		return fmt.Errorf("repair: %w", err)
	}
	return nil
}

// producer is who has a transaction open, and in which partition.
type producer struct {
	topic     string
	partition int32
	id        int64
}

// endTransactions aborts every transaction that has no end.
func endTransactions(ctx context.Context, client *kgo.Client) error {
	admin := kadm.NewClient(client)
	starts, err := admin.ListStartOffsets(ctx)
	if err = errors.Join(err, starts.Error()); err != nil {
		return fmt.Errorf("look up the beginnings: %w", err)
	}
	ends, err := admin.ListEndOffsets(ctx)
	if err = errors.Join(err, ends.Error()); err != nil {
		return fmt.Errorf("look up the ends: %w", err)
	}
	from := starts.Offsets()
	from.KeepFunc(func(o kadm.Offset) bool {
		end, ok := ends.Lookup(o.Topic, o.Partition)
		return ok && o.At < end.Offset // What holds nothing has no end to wait for.
	})
	client.AddConsumePartitions(from.KOffsets())
	left := len(from.Sorted())
	open := make(map[producer]int16) // The producers' epochs.
	for left > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read: %w", err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			switch who := (producer{r.Topic, r.Partition, r.ProducerID}); {
			case r.Attrs.IsControl():
				delete(open, who)
			case r.Attrs.IsTransactional():
				open[who] = r.ProducerEpoch
			}
			if end, ok := ends.Lookup(r.Topic, r.Partition); ok && r.Offset == end.Offset-1 {
				left--
			}
		})
	}
	return writeMarkers(ctx, admin, open)
}

func writeMarkers(ctx context.Context, admin *kadm.Client, open map[producer]int16) error {
	for who, epoch := range open {
		var topics kadm.TopicsSet
		topics.Add(who.topic, who.partition)
		written, err := admin.WriteTxnMarkers(ctx, kadm.TxnMarkers{ProducerID: who.id, ProducerEpoch: epoch, Topics: topics})
		errs := []error{err}
		written.EachPartition(func(p kadm.TxnMarkersPartitionResponse) { errs = append(errs, p.Err) })
		if err := errors.Join(errs...); err != nil {
			return fmt.Errorf("abort a transaction in %s/%d: %w", who.topic, who.partition, err)
		}
	}
	return nil
}
