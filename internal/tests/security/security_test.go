//go:build integration

// Package securitytest holds how jmpub reaches a secured Apache Kafka, and what it says where it may not.
package security_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/tests/kafkatest"
	"github.com/jmpub/jmpub/internal/tests/soak"
)

const exitUsage = 2

// settings are environment variables.
type settings map[string]string

func (s settings) with(more settings) settings {
	all := maps.Clone(s)
	maps.Copy(all, more)
	return all
}

// history is over, so that a run that gets through is done at once.
func history(o *sim.Options) { o.Rate, o.End = 5, time.Now().Add(-time.Minute) }

// trial makes one with these settings.
func trial(t *testing.T, rig *soak.Rig, name string, env settings) *soak.Trial {
	t.Helper()
	trial := rig.NewTrial(t, name, 3, history)
	maps.Copy(trial.Env, env)
	trial.Env["JMPUB_LOG"] = "debug"
	return trial
}

// wantWhole publishes the history and expects every row, and no secret in the log.
func wantWhole(t *testing.T, trial *soak.Trial, secrets ...string) {
	t.Helper()
	trial.Start(t)
	v := trial.Await(t, time.Now().Add(-time.Minute), soak.Patience)
	if code := trial.Process.Terminate(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if report := trial.Check(t, v.End); report.Rows == 0 {
		t.Error("there was nothing to publish")
	}
	noSecret(t, trial, secrets)
}

// wantChecked expects of `jmpub check` an exit code and these words, and no secret.
func wantChecked(t *testing.T, trial *soak.Trial, want int, says ...string) {
	t.Helper()
	said, code := trial.Command(t, "check")
	if code != want {
		t.Errorf("exit code %d of `jmpub check`, want %d:\n%s", code, want, said)
	}
	for _, text := range says {
		if !strings.Contains(said, text) {
			t.Errorf("`jmpub check` does not say %q:\n%s", text, said)
		}
	}
	for _, name := range []string{"JMPUB_MASTER_SECRET", "JMPUB_KAFKA_SASL_PASSWORD"} {
		if secret := trial.Env[name]; secret != "" && strings.Contains(said, secret) {
			t.Errorf("`jmpub check` tells %s", name)
		}
	}
}

func noSecret(t *testing.T, trial *soak.Trial, secrets []string) {
	t.Helper()
	log := trial.Process.Tail(1 << 20)
	for _, secret := range append(secrets, trial.Env["JMPUB_MASTER_SECRET"]) {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds the secret %q", secret)
		}
	}
}

// wantRefused expects exit code 2 and a message that says these, and no secret.
func wantRefused(t *testing.T, trial *soak.Trial, says []string, secrets ...string) {
	t.Helper()
	trial.Start(t)
	code := trial.Process.Exit(t, soak.Patience)
	log := trial.Process.Tail(1 << 20)
	// A broker that hangs up without a word may only be starting: then it is 1.
	if hungUp := strings.Contains(log, "EOF"); code != exitUsage && (!hungUp || code != 1) {
		t.Errorf("exit code %d, want %d; the log:\n%s", code, exitUsage, log)
	}
	t.Logf("it says: %s", trial.Process.Tail(3)) // What docs/security.md quotes.
	for _, text := range says {
		if !strings.Contains(log, text) {
			t.Errorf("the log does not say %q:\n%s", text, log)
		}
	}
	noSecret(t, trial, secrets)
}

// TestSecurityOnApacheKafka tries each way to secure a broker, right and wrong.
func TestSecurityOnApacheKafka(t *testing.T) {
	t.Parallel()
	broker := kafkatest.StartSecure(t, true)
	rig := soak.On(t, broker.Cluster)
	tls := settings{"JMPUB_KAFKA_TLS": "on", "JMPUB_KAFKA_TLS_CA_FILE": broker.CA}
	credentials := settings{"JMPUB_KAFKA_SASL_USERNAME": broker.Username, "JMPUB_KAFKA_SASL_PASSWORD": broker.Password}
	sasl := func(mechanism string) settings { return credentials.with(settings{"JMPUB_KAFKA_SASL": mechanism}) }
	at := func(addr string) settings { return settings{"JMPUB_KAFKA_BROKERS": addr} }
	for name, env := range map[string]settings{
		"TLS":                at(broker.TLS).with(tls),
		"mutual TLS":         at(broker.Mutual).with(tls).with(settings{"JMPUB_KAFKA_TLS_CERT_FILE": broker.Cert, "JMPUB_KAFKA_TLS_KEY_FILE": broker.Key}),
		"PLAIN":              at(broker.SASL).with(sasl("plain")),
		"SCRAM-SHA-256":      at(broker.SASL).with(sasl("scram-sha-256")),
		"SCRAM-SHA-512":      at(broker.SASL).with(sasl("scram-sha-512")),
		"PLAIN, TLS":         at(broker.SASLTLS).with(tls).with(sasl("plain")),
		"SCRAM-SHA-512, TLS": at(broker.SASLTLS).with(tls).with(sasl("scram-sha-512")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trial := trial(t, rig, name, env)
			wantWhole(t, trial, broker.Password)
			says := []string{"✓ broker " + env["JMPUB_KAFKA_BROKERS"], "broker 1 answers, Kafka ", "✓ transactions"}
			if env["JMPUB_KAFKA_TLS"] != "" {
				says = append(says, ", TLS 1.3")
			}
			wantChecked(t, trial, 0, append(says, env["JMPUB_KAFKA_SASL"])...)
		})
	}
	const wrong = "not-the-password"
	for name, c := range map[string]struct {
		env  settings
		says []string
	}{
		"wrong password":        {at(broker.SASL).with(sasl("plain")).with(settings{"JMPUB_KAFKA_SASL_PASSWORD": wrong}), []string{"JMPUB_KAFKA_SASL", "_PASSWORD"}},
		"wrong SCRAM password":  {at(broker.SASL).with(sasl("scram-sha-256")).with(settings{"JMPUB_KAFKA_SASL_PASSWORD": wrong}), []string{"JMPUB_KAFKA_SASL", "_PASSWORD"}},
		"unknown user":          {at(broker.SASL).with(sasl("scram-sha-512")).with(settings{"JMPUB_KAFKA_SASL_USERNAME": "nobody"}), []string{"JMPUB_KAFKA_SASL", "_USERNAME"}},
		"no credentials":        {at(broker.SASL), []string{"JMPUB_KAFKA_SASL"}},
		"untrusted authority":   {at(broker.TLS).with(tls).with(settings{"JMPUB_KAFKA_TLS_CA_FILE": broker.OtherCA}), []string{"JMPUB_KAFKA_TLS_CA_FILE", "not trusted"}},
		"no client certificate": {at(broker.Mutual).with(tls), []string{"JMPUB_KAFKA_TLS_CERT_FILE"}},
		"another host name":     {at(strings.Replace(broker.TLS, "127.0.0.1", "localhost", 1)).with(tls), []string{"JMPUB_KAFKA_BROKERS"}},
		"expired certificate":   {at(broker.Expired).with(tls), []string{"expired"}},
		"TLS at a plain port":   {at(broker.Addrs[0]).with(tls), []string{"JMPUB_KAFKA_TLS"}},
		"plain at a TLS port":   {at(broker.TLS), []string{"JMPUB_KAFKA_TLS"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trial := trial(t, rig, name, c.env)
			wantRefused(t, trial, c.says, broker.Password, wrong)
			wantChecked(t, trial, 1, append([]string{"✗ broker ", "- topics"}, c.says...)...)
		})
	}
}
