package operate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jmpub/jmpub/internal/check"
	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/words"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/sink"
)

// topicsCheck is what the probes of an app's topics know.
type topicsCheck struct {
	c        *checking
	cfg      *settings.Config
	topics   *sink.Topics
	warnings warnings
	// missing are the topics that are not there, bad is set where one that is there cannot be used.
	missing []string
	bad     bool
}

func (c *checking) newTopicsCheck(app *settings.Config) (*topicsCheck, error) {
	t := &topicsCheck{c: c, cfg: app}
	names := app.Topics
	var err error
	t.topics, err = sink.NewTopics(names)
	return t, err
}

// connect gives the topics the connection that the probe of the brokers has made.
func (t *topicsCheck) connect(create bool) (err error) {
	names := t.cfg.Topics
	names.Client, names.Retry, names.Warn = t.c.conn.Client, quickRetry(), t.warnings.warn
	names.Create = names.Create && create
	t.topics, err = sink.NewTopics(names)
	return err
}

// lookAtTopics has a finding for each topic.
func (t *topicsCheck) lookAtTopics(ctx context.Context) []check.Finding {
	if err := t.connect(true); err != nil {
		return lookedUp(err)
	}
	unseen, err := kafka.MissingDescribe(ctx, t.cfg.Kafka, t.topics.Names())
	if err != nil {
		return lookedUp(err)
	}
	if len(unseen) > 0 {
		found := deniedAll(unseen, check.Error)
		found[0].Blocks = true
		return found
	}
	states, err := t.topics.Inspect(ctx, t.cfg.Sink.RecordTime, settings.Moment(t.cfg.Start).Resolve(time.Now()))
	if err != nil {
		return lookedUp(err)
	}
	var found []check.Finding
	for i := range states {
		if states[i].Missing {
			t.missing = append(t.missing, states[i].Name)
			continue
		}
		found = append(found, t.state(&states[i])...)
	}
	return slices.Concat(found, t.absent(ctx, states), t.warnings.take())
}

// state is what is to be said of a topic that is there: all that is wrong, or else how it is.
func (t *topicsCheck) state(s *sink.TopicState) []check.Finding {
	var found []check.Finding
	for _, p := range s.Problems {
		f := check.Finding{Level: check.Warning}
		if p.Refused != nil {
			f = check.Failed(p.Refused)
		} else {
			f.Text, f.Fix = sentence(p.Message, p.Attrs)
			f.Fix = p.Hint
		}
		if p.Stops {
			f.Level = check.Error
		}
		t.bad = t.bad || f.Level == check.Error
		found = append(found, f)
	}
	if len(found) == 0 {
		text := words.Count(s.Partitions, "partition", "partitions") + ", " + words.Count(s.Replication, "replica", "replicas")
		if s.Configured {
			text += fmt.Sprintf(", %d in sync wanted, %s, records of up to %d bytes", s.MinInsync, keeps(s), s.MaxBytes)
		}
		found = append(found, check.Fine(text))
	}
	for i := range found {
		found[i].Subject = "topic " + s.Name
	}
	return found
}

// keeps says what a topic keeps, and for how long.
func keeps(s *sink.TopicState) string {
	text := "compacted"
	if s.Cleanup != "compact" {
		const day = 24 * time.Hour
		switch {
		case s.Retention < 0:
			text = "keeps all"
		case s.Retention%day == 0:
			text = fmt.Sprintf("keeps %dd", s.Retention/day)
		default:
			text = "keeps " + s.Retention.String()
		}
	}
	return text
}

// absent is what is to be said of the topics that are missing.
func (t *topicsCheck) absent(ctx context.Context, states []sink.TopicState) []check.Finding {
	if len(t.missing) == 0 {
		return nil
	}
	if !t.cfg.Topics.Create {
		f := check.Failed(t.topics.MissingError(t.missing))
		f.Text, f.Fix, _ = strings.Cut(f.Text, "; create them with")
		f.Fix = "create them, or set JMPUB_TOPICS_CREATE=true:\n" + strings.ReplaceAll(strings.TrimPrefix(f.Fix, "; "), ";   ", "\n  ")
		return []check.Finding{f}
	}
	if err := t.tryCreate(ctx); err != nil {
		t.bad = true
		return []check.Finding{check.Failed(err)}
	}
	var found []check.Finding
	for i := range states {
		if s := &states[i]; s.Missing {
			text := "`jmpub run` will make it"
			if s.Partitions > 0 {
				text += " with " + words.Count(s.Partitions, "partition", "partitions")
			}
			f := check.Fine(text)
			f.Subject = "topic " + s.Name
			found = append(found, f)
		}
	}
	return found
}

// tryTime is for how long an answer is waited for that has come.
const tryTime = 100 * time.Millisecond

// tryCreate has the broker say whether the topics that are missing could be made.
func (t *topicsCheck) tryCreate(ctx context.Context) error {
	trying, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := kafka.OpenToTry(t.cfg.Kafka, func() { time.AfterFunc(tryTime, cancel) })
	if err != nil {
		return err
	}
	defer conn.Close()
	names := t.cfg.Topics
	names.Client, names.Retry = conn.Client, quickRetry()
	topics, err := sink.NewTopics(names)
	if err != nil {
		return err
	}
	if err = topics.TryCreate(trying, t.missing); isContextDone(err) && ctx.Err() == nil { // An answer has come, and nobody has read it in time.
		return nil
	}
	return err
}

// deniedAll has a finding for each right that is missing.
func deniedAll(rights []kafka.Right, level check.Level) []check.Finding {
	found := make([]check.Finding, 0, len(rights))
	for _, r := range rights {
		found = append(found, check.Finding{Level: level, Text: r.String() + " is missing", Fix: kafka.Grant(r)})
	}
	return found
}

func (t *topicsCheck) id() string {
	return transactionalID(t.cfg.Group, t.cfg.Topics.Prefix, t.cfg.Source.AppKey, "")
}

// present are the topics that are there.
func (t *topicsCheck) present(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(t.missing, name) })
}

// lookAtRights has a finding for each right that is missing, on what is there.
func (t *topicsCheck) lookAtRights(ctx context.Context) []check.Finding {
	var found []check.Finding
	var have []string
	written := t.present(t.topics.Names())
	if t.cfg.ExactlyOnce() {
		missing, err := t.c.conn.MissingWrite(ctx, quickRetry(), t.id(), written)
		switch {
		case err != nil:
			return lookedUp(err)
		case len(missing) > 0:
			found = append(found, deniedAll(missing, check.Error)...)
		default:
			have = append(have, "Write on transactional id "+t.id()+onTopics(" and on", written))
		}
	} else {
		found = append(found, check.Finding{
			Level: check.Skipped, Text: "Write on the topics is not checked, because without transactions only a write shows whether it is allowed",
		})
	}
	read := t.present(probeWiring(t.cfg).readBack(t.topics.Routing()))
	if missing := t.c.conn.MissingRead(ctx, read); len(missing) > 0 {
		found = append(found, deniedAll(missing, check.Error)...)
	} else if len(read) > 0 {
		have = append(have, "Read"+onTopics(" on", read))
	}
	if len(found) > 0 {
		found[0].Blocks = true
	}
	if len(have) > 0 {
		found = append(found, check.Fine(strings.Join(have, ", ")))
	}
	return found
}

// onTopics counts topics that are there.
func onTopics(text string, topics []string) string {
	if len(topics) == 0 {
		return ""
	}
	return text + " " + words.Count(len(topics), "topic", "topics")
}

// lookAtID looks for the one right that an app needs for itself.
func (t *topicsCheck) lookAtID(ctx context.Context) []check.Finding {
	missing, err := t.c.conn.MissingWrite(ctx, quickRetry(), t.id(), t.topics.Names()[:1])
	switch {
	case err != nil:
		return lookedUp(err)
	case slices.Contains(missing, kafka.Write.OnID(t.id())):
		return deniedAll(missing, check.Error)
	default:
		return []check.Finding{check.Fine("Write on transactional id " + t.id())}
	}
}

// trialID stands in the place of a replay's id in the transactional id of the trial, so that nobody is fenced: no replay has it.
const trialID = "check"

// trialTimeout is how long a trial that was killed holds readers of one partition up.
const trialTimeout = 10 * time.Second

// lookAtTransactions writes a record in a transaction and aborts it, as a writer of its own: what is read as committed never has it. It goes
// to the topic of rejected rows, where a reader who takes what is aborted too loses the least.
func (t *topicsCheck) lookAtTransactions(ctx context.Context) []check.Finding {
	id := transactionalID(t.cfg.Group, t.cfg.Topics.Prefix, t.cfg.Source.AppKey, trialID)
	skip := func(why string) []check.Finding {
		return []check.Finding{{Level: check.Skipped, Text: "not checked, because " + why}}
	}
	switch {
	case len(t.missing) > 0:
		return skip(words.Count(len(t.missing), "topic is", "topics are") + " missing; check again when `jmpub run` has made them")
	case t.bad:
		return skip("of what is said of the topics")
	}
	missing, err := t.c.conn.MissingWrite(ctx, quickRetry(), id, t.topics.Names()[:1])
	if err == nil && slices.Contains(missing, kafka.Write.OnID(id)) {
		f := skip("the user may not use transactional ids of its own beside " + t.id())
		f[0].Fix = "give Write on transactional ids that begin with " + t.cfg.Group + "/, which replays need too; `jmpub run` does without"
		return f
	}
	if err == nil {
		err = t.connect(false)
	}
	if err != nil {
		return lookedUp(err)
	}
	cfg := t.cfg.Sink
	cfg.TransactionalID, cfg.TransactionTimeout = id, trialTimeout
	w, err := sink.NewWriter(t.topics, cfg)
	if err != nil {
		return lookedUp(err)
	}
	began := time.Now()
	if err = trial(ctx, w); err != nil {
		return lookedUp(err)
	}
	t.warnings.take() // They were told of already.
	return []check.Finding{check.Fine("a record was written and aborted within " + roundly(time.Since(began)))}
}

// trial writes a record and aborts it, also where writing fails.
func trial(ctx context.Context, w *sink.Writer) error {
	if err := w.Open(ctx); err != nil {
		return err
	}
	tx, err := w.Begin(ctx)
	if err != nil {
		return err
	}
	err = tx.Append(ctx, []pipeline.Record{{
		Topic: pipeline.TopicRejected, Key: []byte("jmpub check"), Value: []byte("jmpub check has written this and aborted the transaction"),
	}})
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), trialTimeout) // What is open holds readers up.
	defer cancel()
	return errors.Join(err, tx.Abort(ending))
}
