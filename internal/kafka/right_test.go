package kafka_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/pipeline"
)

// TestNeeds expects an error about a missing right to name those that the request needs, of the kind that the error is about,
// and every other error to stay as it is.
func TestNeeds(t *testing.T) {
	rights := append(kafka.Write.On("a.single", "a.group"), kafka.Write.OnID("jmpub-3"))
	for code, want := range map[kafkago.Error]string{
		kafkago.TopicAuthorizationFailed:           "jmpub needs WRITE on topic a.single, WRITE on topic a.group;",
		kafkago.TransactionalIDAuthorizationFailed: "jmpub needs WRITE on transactional id jmpub-3;",
	} {
		err := kafka.Needs(kafka.Fault("publish", code), rights...)
		if pipeline.ClassOf(err) != pipeline.Permanent || !errors.Is(err, code) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", code, err)
		}
	}
	for _, err := range []error{nil, errors.New("another"), kafka.Fault("publish", kafkago.NotEnoughReplicas)} {
		before := ""
		if err != nil {
			before = err.Error()
		}
		got := kafka.Needs(err, rights...)
		if (got == nil) != (err == nil) || got != nil && got.Error() != before {
			t.Errorf("%v became %v", before, got)
		}
	}
}

// TestRightsThatAreMissing gives a user nothing but the rights of a case, and expects all that is missing for the three checks
// to be named.
func TestRightsThatAreMissing(t *testing.T) {
	const user, password = "jmpub", "secret"
	right := func(resource kmsg.ACLResourceType, name string, op kmsg.ACLOperation) kfake.ACL {
		return kfake.ACL{Resource: resource, Name: name, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op, Allow: true}
	}
	writeID := right(kmsg.ACLResourceTypeTransactionalId, "jmpub-0", kmsg.ACLOperationWrite)
	writeA := right(kmsg.ACLResourceTypeTopic, "a", kmsg.ACLOperationWrite)
	writeB := right(kmsg.ACLResourceTypeTopic, "b", kmsg.ACLOperationWrite)
	readA := right(kmsg.ACLResourceTypeTopic, "a", kmsg.ACLOperationRead)
	readB := right(kmsg.ACLResourceTypeTopic, "b", kmsg.ACLOperationRead)
	for name, c := range map[string]struct {
		rights                []kfake.ACL
		describe, write, read string
	}{
		"all":           {rights: []kfake.ACL{writeID, writeA, writeB, readA, readB}},
		"none of b":     {[]kfake.ACL{writeID, writeA, readA}, "DESCRIBE on topic b;", "", ""},
		"no write to b": {[]kfake.ACL{writeID, readA, readB, writeA}, "", "WRITE on topic ", ""},
		"no read":       {[]kfake.ACL{writeID, writeA, writeB}, "", "", "READ on topic a, READ on topic b;"},
		"no id":         {[]kfake.ACL{writeA, writeB, readA, readB}, "", "WRITE on transactional id jmpub-0;", ""},
	} {
		t.Run(name, func(t *testing.T) {
			cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "a", "b"), kfake.EnableSASL(), kfake.EnableACLs(),
				kfake.Superuser("PLAIN", "admin", "admin"), kfake.User("PLAIN", user, password, c.rights...))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(cluster.Close)
			cfg := kafka.Config{
				Brokers: cluster.ListenAddrs(), Mechanism: kafka.Plain, Username: user, Password: secret.New(password),
			}
			conn, err := kafka.Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(conn.Close)
			topics := []string{"a", "b"}
			wantMissing(t, kafka.CheckDescribe(t.Context(), cfg, topics), c.describe)
			if c.describe == "" {
				wantMissing(t, conn.CheckWrite(t.Context(), pipeline.Retry{Max: time.Second}, "jmpub-0", topics), c.write)
				wantMissing(t, conn.CheckRead(t.Context(), topics), c.read)
			}
		})
	}
}

func wantMissing(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("nothing is missing: %v", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), "jmpub needs "+want) || pipeline.ClassOf(err) != pipeline.Permanent):
		t.Errorf("%q is not named: %v", want, err)
	}
}
