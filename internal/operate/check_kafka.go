package operate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jmpub/jmpub/internal/check"
	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/internal/registry"
	"github.com/jmpub/jmpub/internal/status"
	"github.com/jmpub/jmpub/internal/words"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/sink"
)

// addKafka adds what is asked of Kafka and of the schema registry: what apps have in common once.
func (c *checking) addKafka() {
	brokers := c.add(&check.Probe{Subject: "brokers", Within: longLook, Look: c.lookAtBrokers})
	sets := make(map[string][]*topicsCheck)
	var order []string
	for _, app := range c.apps {
		t, err := c.newTopicsCheck(app)
		if err != nil { // The settings were checked.
			c.addProbe("topics", c.appKey(app), func(context.Context) []check.Finding { return lookedUp(err) })
			continue
		}
		names := strings.Join(t.topics.Names(), ",")
		if sets[names] == nil {
			order = append(order, names)
		}
		sets[names] = append(sets[names], t)
	}
	for _, names := range order {
		c.addTopics(sets[names], len(order) == 1, brokers)
	}
	if c.cfg.Grouped() {
		group := appsGroup(c.cfg)
		if app := c.cfg.Source.AppKey; app != "" {
			group = transactionalID(c.cfg.Group, c.cfg.Topics.Prefix, app, "")
		}
		c.addProbe("group", "", func(ctx context.Context) []check.Finding { return c.lookAtGroup(ctx, group) }, brokers)
	}
	if !c.cfg.ExactlyOnce() {
		c.addProbe("checkpoints", "", c.lookAtFolder)
	}
	c.addProbe("processes", "", c.lookAtProcesses, brokers)
}

func (c *checking) addProbe(subject, app string, look func(context.Context) []check.Finding, needs ...*check.Probe) *check.Probe {
	return c.add(&check.Probe{Subject: subject, App: app, Within: lookTime, Needs: needs, Look: look})
}

// addTopics adds what is asked of the topics that some apps have in common; all tells that all apps have.
func (c *checking) addTopics(set []*topicsCheck, all bool, brokers *check.Probe) {
	t, app := set[0], ""
	if !all {
		app = c.appKey(t.cfg)
	}
	there := c.addProbe("topics", app, t.lookAtTopics, brokers)
	rights := c.addProbe("rights", app, t.lookAtRights, there)
	if t.cfg.ExactlyOnce() {
		c.addProbe("transactions", app, t.lookAtTransactions, there, rights)
		for _, other := range set[1:] {
			c.addProbe("transactional id", c.appKey(other.cfg), other.lookAtID, there)
		}
	}
	if t.cfg.Sink.Format == sink.FormatAvro {
		c.addProbe("schema registry", app, t.lookAtRegistry)
	}
}

// expiresSoon is for how long a broker's certificate should still be good.
const expiresSoon = 14 * 24 * time.Hour

func (c *checking) lookAtBrokers(ctx context.Context) []check.Finding {
	contacts := kafka.Survey(ctx, c.cfg.Kafka)
	named := slices.ContainsFunc(contacts, func(k kafka.Contact) bool { return k.Named })
	works := slices.ContainsFunc(contacts, func(k kafka.Contact) bool { return k.Err == nil && k.Named == named })
	var found []check.Finding
	for i := range contacts {
		k := &contacts[i]
		if !k.Named && k.Err == nil && slices.ContainsFunc(contacts, func(o kafka.Contact) bool { return o.Named && o.Address == k.Address }) {
			continue // It is told of as the broker that it is.
		}
		f := c.contact(k)
		if k.Err != nil && !k.Named && works {
			f.Level = check.Warning
		}
		f.Subject = "broker " + k.Address
		found = append(found, f)
	}
	if len(contacts) == 0 { // There is nothing to connect to.
		found = append(found, check.Fine("reached"))
	}
	if !works && len(contacts) > 0 {
		for i := range found {
			found[i].Blocks = true
		}
		return found
	}
	var err error
	if c.conn, err = kafka.Open(c.cfg.Kafka); err != nil {
		return append(found, lookedUp(err)...)
	}
	return found
}

// contact is what is to be said of a broker.
func (c *checking) contact(k *kafka.Contact) check.Finding {
	if k.Err != nil {
		return check.Failed(k.Err)
	}
	text := "answers"
	if k.Named {
		text = fmt.Sprintf("broker %d answers", k.ID)
	}
	if k.Release != "" {
		text += ", Kafka " + strings.TrimPrefix(k.Release, "v")
	}
	f := check.Fine("")
	if k.TLS == nil {
		text += ", without TLS"
	} else {
		text += ", " + tls.VersionName(k.TLS.Version)
		if until := k.TLS.PeerCertificates[0].NotAfter; time.Until(until) < expiresSoon {
			f.Level = check.Warning
			text += ", with a certificate that ends at " + c.cfg.Time(until)
			f.Fix = "renew the broker's certificate; nothing connects to it after that time"
		}
	}
	if c.cfg.Kafka.Mechanism != "" {
		text += ", logged in by " + c.cfg.Kafka.Mechanism
	}
	if f.Text = text; k.Old {
		f.Level, f.Fix = check.Warning, "jmpub is tested with Kafka 3.7 and later"
	}
	return f
}

// lookAtGroup looks whether this process may share the work with others.
func (c *checking) lookAtGroup(ctx context.Context, group string) []check.Finding {
	missing, err := kafka.MissingGroup(ctx, c.cfg.Kafka, quickRetry(), group)
	switch {
	case err != nil:
		return lookedUp(err)
	case len(missing) > 0:
		found := deniedAll(missing, check.Warning)
		found[0].Text += ": `jmpub run` publishes alone, and no other process can stand by"
		return found
	default:
		return []check.Finding{check.Fine("Read on group " + group)}
	}
}

// lookAtRegistry looks the schemas up, and registers none.
func (t *topicsCheck) lookAtRegistry(ctx context.Context) []check.Finding {
	client, ok := t.cfg.Sink.Schemas.(*registry.Client)
	if !ok {
		return []check.Finding{{Level: check.Skipped, Text: "not checked, because it is none that is reached over the network"}}
	}
	looking, register := client.Looking()
	cfg := t.cfg.Sink
	cfg.Schemas = looking
	names, few := t.cfg.Topics, &fewTries{}
	names.Retry = few.retry()
	topics, err := sink.NewTopics(names)
	if err != nil {
		return lookedUp(err)
	}
	w, err := sink.NewWriter(topics, cfg)
	if err != nil {
		return lookedUp(err)
	}
	err = few.try(ctx, w.EnsureSchemas)
	switch {
	case err == nil:
		return []check.Finding{check.Fine("it has the schemas of all event topics")}
	case register && registry.IsAbsent(err):
		return []check.Finding{check.Fine("it answers; `jmpub run` will register the schema that it does not have yet")}
	default:
		return lookedUp(err)
	}
}

// lookAtFolder looks at the folder of checkpoints.
func (c *checking) lookAtFolder(context.Context) []check.Finding {
	info, err := os.Stat(c.cfg.CheckpointDir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return []check.Finding{check.Fine("`jmpub run` will make the folder " + c.cfg.CheckpointDir)}
	case err != nil:
		return []check.Finding{check.Failed(fmt.Errorf("JMPUB_CHECKPOINT: %w", err))}
	case !info.IsDir():
		return []check.Finding{check.Failed(fmt.Errorf("JMPUB_CHECKPOINT: %s is no folder", c.cfg.CheckpointDir))}
	default:
		return []check.Finding{check.Fine("the folder " + c.cfg.CheckpointDir + " is there; whether it can be written to is not tried")}
	}
}

// lookAtProcesses tells of the others that share the group, and of their releases. Nothing that is published depends on it.
func (c *checking) lookAtProcesses(ctx context.Context) []check.Finding {
	topic, err := processesTopic(c.cfg, c.conn, quickRetry())
	if err != nil {
		return lookedUp(err)
	}
	told, err := topic.Read(ctx, quickRetry(), c.cfg.Group)
	switch {
	case pipeline.ClassOf(err) == pipeline.Abort && err != nil:
		return []check.Finding{check.Fine("none has told its state yet")}
	case err != nil:
		f := check.Of(check.Warning, err)
		f.Text = "`jmpub apps` shows nothing, and all else works: " + f.Text
		return []check.Finding{f}
	}
	var found []check.Finding
	alike := 0
	for _, m := range told.Merge([]status.AppName{}, time.Now()).Processes {
		switch {
		case m.Silent:
		case m.Release != c.version:
			found = append(found, check.Finding{
				Level: check.Warning, Text: fmt.Sprintf("%s is of release %s, and this one of %s", m.Process, m.Release, c.version),
				Fix: "restart them with the same release, one after the other",
			})
		default:
			alike++
		}
	}
	if alike > 0 || len(found) == 0 {
		found = append(found, check.Fine(words.Count(alike, "process", "processes")+" of this release in the group"))
	}
	return found
}
