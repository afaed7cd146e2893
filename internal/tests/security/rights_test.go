//go:build integration

package security_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/tests/kafkatest"
	"github.com/jmpub/jmpub/internal/tests/soak"
)

// partitions are those of each topic.
const partitions = 3

// The topics of a prefix, and those of them that are read back.
func topicsOf(prefix string) (all, readBack []string) {
	for _, name := range []string{"single", "group", "chatroom", "other", "rejected", "windows", "coverage", "checkpoints"} {
		readBack = append(readBack, prefix+"."+name)
	}
	return append(slices.Clone(readBack), prefix+".notices"), readBack
}

// idOf is the transactional id of the live run: a trial's group has the name of its prefix.
func idOf(prefix string) string { return prefix + "/" + prefix + "/" + sim.Defaults().AppKey }

// least are the fewest rights with which `jmpub run` works on topics that exist, as docs/security.md lists them.
func least(prefix, id string) []kafkatest.Right {
	all, readBack := topicsOf(prefix)
	rights := []kafkatest.Right{{Operation: kadm.OpWrite, Transactional: id}, {Operation: kadm.OpRead, Group: id}}
	for _, name := range all {
		rights = append(rights, kafkatest.Right{Operation: kadm.OpWrite, Topic: name})
	}
	for _, name := range readBack {
		rights = append(rights, kafkatest.Right{Operation: kadm.OpRead, Topic: name})
	}
	return rights
}

// without are the rights but those that are gone.
func without(rights []kafkatest.Right, gone func(kafkatest.Right) bool) []kafkatest.Right {
	return slices.DeleteFunc(slices.Clone(rights), gone)
}

// words name a right as jmpub does.
func words(r kafkatest.Right) string {
	if r.Topic != "" {
		return r.Operation.String() + " on topic " + r.Topic
	}
	return r.Operation.String() + " on transactional id " + r.Transactional
}

// guarded is a broker that checks rights, and a user without any.
type guarded struct {
	*kafkatest.Secure

	rig *soak.Rig
}

// trial makes one that uses the user's credentials.
func (g *guarded) trial(t *testing.T, name string, env settings) *soak.Trial {
	t.Helper()
	own := settings{
		"JMPUB_KAFKA_BROKERS": g.SASL, "JMPUB_KAFKA_SASL": "scram-sha-256", "JMPUB_KAFKA_SASL_USERNAME": g.Username,
		"JMPUB_KAFKA_SASL_PASSWORD": g.Password,
	}
	return trial(t, g.rig, name, own.with(env))
}

// topics makes a prefix's topics.
func (g *guarded) topics(t *testing.T, prefix string) {
	t.Helper()
	all, _ := topicsOf(prefix)
	compact := "compact"
	for _, name := range all {
		config := map[string]*string{}
		if strings.HasSuffix(name, ".checkpoints") || strings.HasSuffix(name, ".coverage") {
			config["cleanup.policy"] = &compact
		}
		if _, err := g.Admin(t).CreateTopic(t.Context(), partitions, 1, config, name); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRightsOnApacheKafka takes each of the least rights away, and expects a message which one is missing before anything
// is published, and before a process that publishes is fenced.
func TestRightsOnApacheKafka(t *testing.T) { //nolint:tparallel // Its subtests change the rights of one user.
	t.Parallel()
	broker := kafkatest.StartSecure(t, false)
	g := &guarded{Secure: broker, rig: soak.On(t, broker.Cluster)}
	noCreate := settings{"JMPUB_TOPICS_CREATE": "false"}
	rights := least("rights", idOf("rights"))
	g.topics(t, "rights")
	for _, gone := range rights {
		if gone.Topic == "rights.notices" || gone.Group != "" {
			continue // With the first goes all that there is on the topic; without the other it works alone. See below.
		}
		t.Run("no "+words(gone), func(t *testing.T) {
			g.Give(t, without(rights, func(r kafkatest.Right) bool { return r == gone }))
			trial := g.trial(t, "rights", noCreate)
			wantRefused(t, trial, []string{"jmpub needs " + words(gone) + ";", "kafka-acls.sh"}, g.Password)
			wantChecked(t, trial, 1, "✗ ", words(gone)+" is missing", "kafka-acls.sh")
		})
	}
	all, _ := topicsOf("rights")
	for _, name := range all {
		t.Run("nothing on "+name, func(t *testing.T) {
			g.Give(t, without(rights, func(r kafkatest.Right) bool { return r.Topic == name }))
			trial := g.trial(t, "rights", noCreate)
			wantRefused(t, trial, []string{"jmpub needs DESCRIBE on topic " + name + ";"}, g.Password)
			wantChecked(t, trial, 1, "DESCRIBE on topic "+name+" is missing")
		})
	}
	t.Run("no rights", func(t *testing.T) {
		g.Give(t, nil)
		says := []string{"DESCRIBE on topic rights.single", "DESCRIBE on topic rights.checkpoints"}
		wantRefused(t, g.trial(t, "rights", noCreate), says, g.Password)
	})
	t.Run("the least", func(t *testing.T) {
		g.Give(t, rights)
		trial := g.trial(t, "rights", noCreate)
		wantWhole(t, trial, g.Password)
		if log := trial.Process.Tail(1 << 20); !strings.Contains(log, `DescribeConfigs on topics is missing","topics":"rights.single`) {
			t.Errorf("the log does not tell that the topics' limits are guessed:\n%s", log)
		}
		wantChecked(t, trial, 0, "! ", "DescribeConfigs on topics is missing", "- transactions", "give Write on transactional ids that begin with rights/",
			"Write on transactional id "+idOf("rights")+" and on 9 topics", "Read on 8 topics", "DESCRIBE on topic rights.processes", "logged in by scram-sha-256")
		g.Give(t, append(slices.Clone(rights), kafkatest.Right{Operation: kadm.OpWrite, Transactional: idOf("rights") + "/check"}))
		wantChecked(t, trial, 0, "✓ transactions", "a record was written and aborted")
	})
	t.Run("no group", func(t *testing.T) {
		g.topics(t, "alone")
		g.Give(t, without(least("alone", idOf("alone")), func(r kafkatest.Right) bool { return r.Group != "" }))
		trial := g.trial(t, "alone", noCreate)
		wantWhole(t, trial, g.Password)
		if log := trial.Process.Tail(1 << 20); !strings.Contains(log, "this process publishes alone") || !strings.Contains(log, "right Read on the group") {
			t.Errorf("the log does not tell that no other process can stand by:\n%s", log)
		}
		wantChecked(t, trial, 0, "! group", "READ on group "+idOf("alone")+" is missing", "publishes alone")
	})
	t.Run("no right to read late rows back, and no need for it", func(t *testing.T) {
		g.topics(t, "norecheck")
		g.Give(t, without(least("norecheck", idOf("norecheck")), func(r kafkatest.Right) bool {
			return r.Operation == kadm.OpRead &&
				!slices.Contains([]string{"norecheck.checkpoints", "norecheck.coverage", "norecheck.windows"}, r.Topic)
		}))
		wantWhole(t, g.trial(t, "norecheck", noCreate.with(settings{"JMPUB_RECHECK": "off"})), g.Password)
	})
	t.Run("replay", func(t *testing.T) { g.replay(t, rights) })
	t.Run("only read", func(t *testing.T) { g.look(t) })
	t.Run("create", func(t *testing.T) { g.create(t) })
	t.Run("state of the process", func(t *testing.T) { g.tell(t) })
	t.Run("taken away while it works", func(t *testing.T) { g.takenAway(t) })
}

// replay has a transactional id of its own, for which it needs a right of its own; a reset writes with the live run's.
func (g *guarded) replay(t *testing.T, rights []kafkatest.Right) {
	t.Helper()
	trial := g.trial(t, "rights", settings{"JMPUB_TOPICS_CREATE": "false"})
	replay := []string{"replay", "--from", "2m", "--to", "90s", "--id", "again"}
	own := kafkatest.Right{Operation: kadm.OpWrite, Transactional: idOf("rights") + "/again"}
	g.Give(t, rights)
	if said, code := trial.Command(t, replay...); code != exitUsage || !strings.Contains(said, "jmpub needs "+words(own)+";") {
		t.Errorf("exit code %d, and it said:\n%s", code, said)
	}
	g.Give(t, append(slices.Clone(rights), own))
	if said, code := trial.Command(t, replay...); code != 0 || !strings.Contains(said, "replay again: complete") {
		t.Errorf("exit code %d, and it said:\n%s", code, said)
	}
	g.Give(t, without(rights, func(r kafkatest.Right) bool { return r.Topic == "rights.checkpoints" && r.Operation == kadm.OpRead }))
	said, code := trial.Command(t, "checkpoint", "list")
	if code != exitUsage || !strings.Contains(said, "jmpub needs READ on topic rights.checkpoints;") {
		t.Errorf("exit code %d, and it said:\n%s", code, said)
	}
	g.Give(t, without(rights, func(r kafkatest.Right) bool { return r.Transactional != "" }))
	said, code = trial.Command(t, "checkpoint", "reset", "messages", "--to", "2m", "--yes")
	if code != exitUsage || !strings.Contains(said, "WRITE on transactional id "+idOf("rights")) {
		t.Errorf("exit code %d, and it said:\n%s", code, said)
	}
}

// look runs commands that only look, with nothing but the right to read.
func (g *guarded) look(t *testing.T) {
	t.Helper()
	var rights []kafkatest.Right
	all, _ := topicsOf("rights")
	for _, name := range all {
		rights = append(rights, kafkatest.Right{Operation: kadm.OpRead, Topic: name})
	}
	g.Give(t, rights)
	trial := g.trial(t, "rights", nil)
	for _, command := range [][]string{{"checkpoint", "list"}, {"windows", "--from", "10m", "--to", "1m"}, {"tail", "windows", "-n", "1"}} {
		if said, code := trial.Command(t, command...); code != 0 || !strings.Contains(said, "messages") {
			t.Errorf("%v: exit code %d, and it said:\n%s", command, code, said)
		}
	}
}

// create lets jmpub make its topics itself.
func (g *guarded) create(t *testing.T) {
	t.Helper()
	rights := least("made", idOf("made"))
	all, _ := topicsOf("made")
	g.Give(t, rights)
	says := []string{"jmpub needs CREATE on topic made.single, CREATE on topic made.group", "JMPUB_TOPICS_CREATE=false"}
	wantChecked(t, g.trial(t, "made", nil), 1, append([]string{"✗ topics"}, says...)...)
	wantRefused(t, g.trial(t, "made", nil), says, g.Password)
	for _, name := range all[1:] {
		rights = append(rights, kafkatest.Right{Operation: kadm.OpCreate, Topic: name})
	}
	g.Give(t, rights)
	wantRefused(t, g.trial(t, "made", nil), []string{"jmpub needs CREATE on topic made.single;"}, g.Password)
	g.Give(t, append(rights, kafkatest.Right{Operation: kadm.OpCreate, Topic: all[0]}))
	wantChecked(t, g.trial(t, "made", nil), 0, "✓ topic made.single", "will make it")
	if topics, err := g.Admin(t).ListTopics(t.Context(), all...); err != nil || topics[all[0]].Err == nil {
		t.Errorf("a check has made %s: %v", all[0], err)
	}
	wantWhole(t, g.trial(t, "made", nil), g.Password)
}

// tell takes away each right on the topic in which a process tells its state: it goes on without, and says which right is missing. Whoever
// reads it needs no other right.
func (g *guarded) tell(t *testing.T) {
	t.Helper()
	g.topics(t, "told")
	on := func(operation kadm.ACLOperation) kafkatest.Right {
		return kafkatest.Right{Operation: operation, Topic: "told.processes"}
	}
	rights := least("told", idOf("told"))
	for _, tc := range []struct {
		more   []kafkatest.Right
		create string
		says   string
	}{
		{nil, "true", "jmpub needs DESCRIBE on topic told.processes;"},
		{[]kafkatest.Right{on(kadm.OpDescribe)}, "false", "kafka-topics.sh --create --topic told.processes --partitions 1"},
		{[]kafkatest.Right{on(kadm.OpDescribe)}, "true", "jmpub needs CREATE on topic told.processes;"},
		{[]kafkatest.Right{on(kadm.OpDescribe), on(kadm.OpCreate)}, "true", "jmpub needs WRITE on topic told.processes;"},
		{[]kafkatest.Right{on(kadm.OpWrite)}, "false", ""},
	} {
		g.Give(t, append(slices.Clone(rights), tc.more...))
		trial := g.trial(t, "told", settings{"JMPUB_TOPICS_CREATE": tc.create})
		trial.Start(t)
		trial.Await(t, time.Now().Add(-time.Minute), soak.Patience)
		late := time.Now().Add(soak.Patience)
		for tc.says != "" && !strings.Contains(trial.Process.Tail(1<<20), tc.says) {
			if time.Now().After(late) {
				t.Fatalf("it does not say %q:\n%s", tc.says, trial.Process.Tail(50))
			}
			soak.Wait(t, 200*time.Millisecond)
		}
		if tc.says == "" {
			g.wantTold(t, trial, rights)
		}
		if code := trial.Process.Terminate(t); code != 0 {
			t.Errorf("%q: exit code %d", tc.says, code)
		}
		if log := trial.Process.Tail(1 << 20); tc.says == "" == strings.Contains(log, "the state of this process cannot be told") {
			t.Errorf("%q: it says\n%s", tc.says, log)
		}
	}
}

// wantTold expects that only the right to read shows a process that tells its state.
func (g *guarded) wantTold(t *testing.T, trial *soak.Trial, rights []kafkatest.Right) {
	t.Helper()
	said, code := trial.Command(t, "apps")
	for late := time.Now().Add(soak.Patience); code == 0; said, code = trial.Command(t, "apps") { // Nothing has been told yet.
		if time.Now().After(late) {
			t.Fatalf("without the right to read: %s", said)
		}
		soak.Wait(t, 200*time.Millisecond)
	}
	if code != exitUsage || !strings.Contains(said, "jmpub needs READ on topic told.processes;") {
		t.Errorf("without the right to read: exit code %d: %s", code, said)
	}
	g.Give(t, append(slices.Clone(rights), kafkatest.Right{Operation: kadm.OpWrite, Topic: "told.processes"}, kafkatest.Right{Operation: kadm.OpRead, Topic: "told.processes"}))
	for late := time.Now().Add(soak.Patience); !strings.Contains(said, "publishing"); said, code = trial.Command(t, "apps") {
		if time.Now().After(late) {
			t.Fatalf("exit code %d: %s", code, said)
		}
		soak.Wait(t, 200*time.Millisecond)
	}
}

// takenAway expects a process that publishes to leave with a message that names the right, and one that has it again to go
// on where it was.
func (g *guarded) takenAway(t *testing.T) {
	t.Helper()
	g.topics(t, "live")
	rights := least("live", idOf("live"))
	g.Give(t, rights)
	trial := g.rig.NewTrial(t, "live", 3, nil)
	for name, value := range g.trial(t, "live", nil).Env {
		if strings.HasPrefix(name, "JMPUB_KAFKA_") {
			trial.Env[name] = value
		}
	}
	trial.Start(t)
	trial.Await(t, time.Now().Add(-30*time.Second), soak.Patience)
	gone := kafkatest.Right{Operation: kadm.OpWrite, Topic: "live.windows"}
	g.Give(t, without(rights, func(r kafkatest.Right) bool { return r == gone }))
	code := trial.Process.Exit(t, soak.Patience)
	if log := trial.Process.Tail(20); code != 1 || !strings.Contains(log, "jmpub needs "+words(gone)+";") {
		t.Errorf("exit code %d; the log ends:\n%s", code, log)
	}
	g.Give(t, rights)
	trial.Start(t)
	v := trial.Await(t, time.Now(), soak.Patience)
	if code := trial.Process.Terminate(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	trial.Check(t, v.End)
}
