// Package broker is a Kafka broker inside the process, for the demo, for `jmpub broker` and for tests: franz-go's kfake,
// with topics, groups and transactions, kept in memory or in a folder. It is no real broker (one log without replicas
// stands behind all of its nodes), so nothing that jmpub promises about Kafka rests on it.
package broker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/jmpub/jmpub/internal/regular"
	"github.com/jmpub/jmpub/pipeline"
)

// Broker is a running cluster. Safe for concurrent use.
type Broker struct {
	cluster *kfake.Cluster
	fence   *fence
	log     *journal
	addrs   []string
	// dir is the data folder, and lock what keeps others out of it; both are zero in memory.
	dir  string
	lock *flock.Flock
}

// Start runs a broker until [Broker.Close]. Its errors are *[pipeline.Fault] of class [pipeline.Permanent] with a hint.
func Start(o Options) (*Broker, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	b := &Broker{log: newJournal(o.Log)}
	opts := []kfake.Opt{
		kfake.WithLogger(b.log),
		kfake.ListenFn(o.listen),
		kfake.Ports(o.ports()...),
		kfake.DefaultNumPartitions(o.Partitions),
		kfake.ClusterID("jmpub-embedded"),
	}
	if o.AutoCreate {
		opts = append(opts, kfake.AllowAutoTopicCreation())
	}
	if o.DataDir != "" {
		lock, err := lockFolder(o.DataDir)
		if err != nil {
			return nil, err
		}
		b.lock, b.dir = lock, o.DataDir
		if err := enterFolder(o.DataDir, o.Brokers); err != nil {
			return nil, errors.Join(err, b.unlock())
		}
		opts = append(opts, kfake.DataDir(o.DataDir))
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		return nil, errors.Join(o.startFault(err), b.leave())
	}
	b.cluster, b.addrs = cluster, cluster.ListenAddrs()
	if o.Control != nil {
		o.Control(cluster)
	}
	if b.fence, err = raiseFence(cluster, o.host); err != nil {
		cluster.Close()
		return nil, errors.Join(err, b.leave())
	}
	return b, nil
}

// Addrs are the nodes' addresses, host:port, as clients are given them.
func (b *Broker) Addrs() []string { return b.addrs }

// Close stops the broker and lets go of its folder. It returns what the broker could not write there. Connections end at
// once; it may be called twice.
func (b *Broker) Close() error {
	b.fence.lower()
	b.cluster.Close()
	return errors.Join(b.log.failure(), b.leave())
}

// leave notes that the folder is complete, unless it is not, and gives it back.
func (b *Broker) leave() error {
	if b.lock == nil || !b.lock.Locked() || b.log.failure() != nil {
		return b.unlock()
	}
	return errors.Join(leaveFolder(b.dir), b.unlock())
}

func (b *Broker) unlock() error {
	if b.lock == nil {
		return nil
	}
	if err := b.lock.Close(); err != nil {
		return fmt.Errorf("unlock %s: %w", b.lock.Path(), err)
	}
	return nil
}

// lockName is the file by which a second broker is kept out of a folder.
const lockName = "jmpub.lock"

// lockFolder makes the folder and keeps every other process out. The lock ends with the process, so none is left behind.
func lockFolder(dir string) (*flock.Flock, error) {
	fault := &pipeline.Fault{Op: "open data folder " + dir, Hint: "name a folder that this user may create and write"}
	if fault.Err = os.MkdirAll(dir, 0o750); fault.Err != nil {
		return nil, fault
	}
	lock := regular.NewLock(filepath.Join(dir, lockName))
	free, err := regular.TryLock(lock)
	switch {
	case err != nil:
		fault.Err = err
		return nil, fault
	case !free:
		fault.Err, fault.Hint = errors.New("another broker is using it"), "stop that one, or name another folder"
		return nil, fault
	}
	return lock, nil
}
