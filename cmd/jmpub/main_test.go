package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kelseyhightower/envconfig"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/jmpub/jmpub/internal/lab/broker"
	"github.com/jmpub/jmpub/internal/lab/sim"
)

// outcome is what a command line did.
type outcome struct {
	code           int
	stdout, stderr string
}

// try runs a command line with exactly these JMPUB_ variables.
func try(t *testing.T, env map[string]string, args ...string) outcome {
	t.Helper()
	setEnv(t, env)
	var stdout, stderr bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // So that a mistake ends the test.
	defer cancel()
	code := execute(ctx, args, &stdout, &stderr)
	return outcome{code, stdout.String(), stderr.String()}
}

// setEnv makes these the only settings that there are. What stays is not touched, for a run may be reading it.
func setEnv(t *testing.T, env map[string]string) {
	t.Helper()
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if _, stays := env[name]; stays || !strings.HasPrefix(name, envPrefix+"_") {
			continue
		}
		t.Setenv(name, "")
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range env {
		if now, there := os.LookupEnv(name); !there || now != value {
			t.Setenv(name, value)
		}
	}
}

// with is a copy of the settings with some changed.
func with(env map[string]string, changes ...string) map[string]string {
	changed := maps.Clone(env)
	for pair := range slices.Chunk(changes, 2) {
		changed[pair[0]] = pair[1]
	}
	return changed
}

// working starts an API and a broker and returns settings with which `jmpub run` works.
func working(t *testing.T) map[string]string {
	t.Helper()
	opts := sim.Defaults()
	api, err := sim.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	broker, err := broker.Start(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close() })
	return map[string]string{
		"JMPUB_APP_KEY": opts.AppKey, "JMPUB_MASTER_SECRET": opts.MasterSecret, "JMPUB_API_URL": server.URL + "/v2",
		"JMPUB_KAFKA_BROKERS": broker.Addrs()[0], "JMPUB_LISTEN": "off", "JMPUB_START": "10m",
	}
}

// TestBadInput expects of each mistake exit code 2 and a message that names the setting.
func TestBadInput(t *testing.T) {
	good := working(t)
	schemas := srfake.New(srfake.WithAuth("Basic " + base64.StdEncoding.EncodeToString([]byte("u:pass-phrase"))))
	t.Cleanup(schemas.Close)
	avro := with(good, "JMPUB_EVENT_FORMAT", "avro", "JMPUB_SCHEMA_REGISTRY_URL", schemas.URL(),
		"JMPUB_SCHEMA_REGISTRY_USERNAME", "u", "JMPUB_SCHEMA_REGISTRY_PASSWORD", "pass-phrase")
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		env  map[string]string
		want []string
	}{
		{"nothing set", nil, []string{"JMPUB_APP_KEY", "JMPUB_MASTER_SECRET", "JMPUB_KAFKA_BROKERS"}},
		{"misspelt", with(good, "JMPUB_KAFKA_BROKER", "x"), []string{"JMPUB_KAFKA_BROKER ", "did you mean JMPUB_KAFKA_BROKERS?"}},
		{
			"several at once", with(good, "JMPUB_POLL", "2x", "JMPUB_STREAMS", "user/a", "JMPUB_API_RATE", "fast"),
			[]string{"JMPUB_POLL", "JMPUB_STREAMS", "JMPUB_API_RATE"},
		},
		{"streams that overlap", with(good, "JMPUB_STREAMS", "messages,groups/*"), []string{"JMPUB_STREAMS", "twice", "JMPUB_GROUP"}},
		{
			"statistics by the week", with(good, "JMPUB_STATISTICS_UNITS", "week", "JMPUB_STATISTICS_EVERY", "1s", "JMPUB_IM_URL", "ftp://x"),
			[]string{"JMPUB_STATISTICS_UNITS", "hour,day,month", "JMPUB_STATISTICS_EVERY", "1m0s", "JMPUB_IM_URL"},
		},
		{"overlap of nothing", with(good, "JMPUB_OVERLAP", "0s"), []string{"JMPUB_OVERLAP"}},
		{"summer time", with(good, "JMPUB_API_TIME_ZONE", "Europe/Berlin"), []string{"JMPUB_API_TIME_ZONE"}},
		{"unknown zone", with(good, "JMPUB_API_TIME_ZONE", "Moon/Sea"), []string{"JMPUB_API_TIME_ZONE"}},
		{"start in words", with(good, "JMPUB_START", "yesterday"), []string{"JMPUB_START", "2026-11-01T10:00:00+08:00", "36h"}},
		{"two secrets", with(good, "JMPUB_MASTER_SECRET_FILE", empty), []string{"JMPUB_MASTER_SECRET_FILE"}},
		{"empty secret file", with(good, "JMPUB_MASTER_SECRET", "", "JMPUB_MASTER_SECRET_FILE", empty), []string{"JMPUB_MASTER_SECRET_FILE", "empty"}},
		{"missing secret file", with(good, "JMPUB_MASTER_SECRET", "", "JMPUB_MASTER_SECRET_FILE", dir+"/none"), []string{"JMPUB_MASTER_SECRET_FILE"}},
		{"certificate without TLS", with(good, "JMPUB_KAFKA_TLS_CA_FILE", empty), []string{"JMPUB_KAFKA_TLS"}},
		{"certificate that is none", with(good, "JMPUB_KAFKA_TLS", "on", "JMPUB_KAFKA_TLS_CA_FILE", empty), []string{"JMPUB_KAFKA_TLS_CA_FILE"}},
		{"certificate without key", with(good, "JMPUB_KAFKA_TLS", "on", "JMPUB_KAFKA_TLS_CERT_FILE", empty), []string{"JMPUB_KAFKA_TLS_KEY_FILE"}},
		{"password without mechanism", with(good, "JMPUB_KAFKA_SASL_PASSWORD", "x"), []string{"JMPUB_KAFKA_SASL"}},
		{
			"more in sync than replicas", with(good, "JMPUB_TOPICS_REPLICATION", "1", "JMPUB_TOPICS_MIN_INSYNC_REPLICAS", "2"),
			[]string{"JMPUB_TOPICS_MIN_INSYNC_REPLICAS"},
		},
		{"topic prefix", with(good, "JMPUB_TOPIC_PREFIX", "a b"), []string{"JMPUB_TOPIC_PREFIX"}},
		{"topic template", with(good, "JMPUB_TOPIC_TEMPLATE", "{prefix}.{target}"), []string{"JMPUB_TOPIC_TEMPLATE", "{prefix}, {app_key} and {target_type}"}},
		{"template of the ledger", with(good, "JMPUB_TOPIC_TEMPLATE", "jmessage.windows"), []string{"JMPUB_TOPIC_TEMPLATE", "jmessage.windows"}},
		{"format", with(good, "JMPUB_EVENT_FORMAT", "protobuf"), []string{"JMPUB_EVENT_FORMAT", "json, avro"}},
		{"no registry", with(good, "JMPUB_EVENT_FORMAT", "avro"), []string{"JMPUB_SCHEMA_REGISTRY_URL is not set"}},
		{"registry without scheme", with(avro, "JMPUB_SCHEMA_REGISTRY_URL", "registry:8081"), []string{"JMPUB_SCHEMA_REGISTRY_URL", "http://registry:8081"}},
		{"credentials in the address", with(avro, "JMPUB_SCHEMA_REGISTRY_URL", "http://u:pass-phrase@registry:8081"), []string{"JMPUB_SCHEMA_REGISTRY_USERNAME"}},
		{"registry's password", with(avro, "JMPUB_SCHEMA_REGISTRY_PASSWORD", "wrong-phrase"), []string{"JMPUB_SCHEMA_REGISTRY_USERNAME", "_PASSWORD", "403"}},
		{"password without user", with(avro, "JMPUB_SCHEMA_REGISTRY_USERNAME", ""), []string{"JMPUB_SCHEMA_REGISTRY_USERNAME"}},
		{"registry's two passwords", with(avro, "JMPUB_SCHEMA_REGISTRY_PASSWORD_FILE", empty), []string{"JMPUB_SCHEMA_REGISTRY_PASSWORD_FILE"}},
		{"registry's certificate", with(avro, "JMPUB_SCHEMA_REGISTRY_CA_FILE", empty), []string{"JMPUB_SCHEMA_REGISTRY_CA_FILE"}},
		{"no registry there", with(avro, "JMPUB_SCHEMA_REGISTRY_URL", good["JMPUB_API_URL"]), []string{"JMPUB_SCHEMA_REGISTRY", "_URL"}},
		{"schema is not registered", with(avro, "JMPUB_SCHEMA_REGISTRY_REGISTER", "false"), []string{"jmessage.single-value", "JMPUB_SCHEMA_REGISTRY_REGISTER"}},
		{"register", with(good, "JMPUB_SCHEMA_REGISTRY_REGISTER", "maybe"), []string{"JMPUB_SCHEMA_REGISTRY_REGISTER"}},
		{"checkpoint", with(good, "JMPUB_CHECKPOINT", "postgres"), []string{"JMPUB_CHECKPOINT", "file:DIR"}},
		{"wrong secret", with(good, "JMPUB_MASTER_SECRET", "not-the-right-one"), []string{"JMPUB_MASTER_SECRET", "899008"}},
		{"unknown app", with(good, "JMPUB_APP_KEY", "unknown"), []string{"JMPUB_APP_KEY", "899009"}},
		{"wrong path", with(good, "JMPUB_API_URL", good["JMPUB_API_URL"]+"/v3"), []string{"JMPUB_API_URL"}},
		{
			"refused by Kafka", with(good, "JMPUB_KAFKA_SASL", "plain", "JMPUB_KAFKA_SASL_USERNAME", "u", "JMPUB_KAFKA_SASL_PASSWORD", "p"),
			[]string{"JMPUB_KAFKA_SASL"},
		},
		{
			"topics missing", with(good, "JMPUB_TOPICS_CREATE", "false", "JMPUB_TOPIC_PREFIX", "none"),
			[]string{"kafka-topics.sh --create --topic none.checkpoints", "cleanup.policy=compact"},
		},
		{"address in use", with(good, "JMPUB_LISTEN", good["JMPUB_KAFKA_BROKERS"]), []string{"JMPUB_LISTEN"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := try(t, c.env, "run")
			if got.code != exitUsage {
				t.Errorf("exit code %d, want %d; %s", got.code, exitUsage, got.stderr)
			}
			for _, want := range c.want {
				if !strings.Contains(got.stderr, want) {
					t.Errorf("the message lacks %q:\n%s", want, got.stderr)
				}
			}
			for _, name := range []string{"JMPUB_MASTER_SECRET", "JMPUB_SCHEMA_REGISTRY_PASSWORD"} {
				if secret := c.env[name]; secret != "" && strings.Contains(got.stderr+got.stdout, secret) {
					t.Errorf("the secret is shown:\n%s", got.stderr)
				}
			}
		})
	}
}

// TestUnreachable expects a message that names the address, and exit code 1: it may only be too early.
func TestUnreachable(t *testing.T) {
	good := working(t)
	for name, broker := range map[string]string{"nobody there": "127.0.0.1:1", "unknown host": "nowhere.invalid:9092"} {
		got := try(t, with(good, "JMPUB_KAFKA_BROKERS", broker), "run")
		if got.code != exitFailed || !strings.Contains(got.stderr, broker) || !strings.Contains(got.stderr, "JMPUB_KAFKA_BROKERS") {
			t.Errorf("%s: exit code %d, %s", name, got.code, got.stderr)
		}
	}
}

func TestWrongUse(t *testing.T) {
	for _, args := range [][]string{{"frob"}, {"demo", "--frob"}, {"run", "x"}, {"demo", "--for", "1s"}, {"sim", "--rate", "-1"}} {
		if got := try(t, nil, args...); got.code != exitUsage || got.stderr == "" {
			t.Errorf("jmpub %s: exit code %d, %q", strings.Join(args, " "), got.code, got.stderr)
		}
	}
	for _, args := range [][]string{{"--help"}, {"run", "--help"}, {"demo", "--help"}, {"sim", "--help"}, {"broker", "--help"}, {"version"}} {
		if got := try(t, nil, args...); got.code != exitDone || got.stdout == "" || got.stderr != "" {
			t.Errorf("jmpub %s: exit code %d, %q", strings.Join(args, " "), got.code, got.stderr)
		}
	}
}

// TestSettingNames holds the names that `jmpub config` shows against those that envconfig reads.
func TestSettingNames(t *testing.T) {
	s := &settings{}
	var names []string
	for _, one := range s.list() {
		names = append(names, one.Name)
		t.Setenv(one.Name, "set by its name")
	}
	if err := envconfig.Process(envPrefix, s); err != nil {
		t.Fatal(err)
	}
	for _, one := range s.list() {
		if one.Value != "set by its name" && one.Value != mask {
			t.Errorf("%s is %q after it was set: envconfig knows it by another name", one.Name, one.Value)
		}
	}
	for _, want := range []string{
		"JMPUB_API_TIME_ZONE", "JMPUB_TOPIC_TEMPLATE", "JMPUB_SCHEMA_REGISTRY_URL", "JMPUB_SCHEMA_REGISTRY_CA_FILE", "JMPUB_KAFKA_TLS_CA_FILE", "JMPUB_KAFKA_SASL_PASSWORD_FILE", "JMPUB_TOPICS_PARTITIONS",
	} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is missing among %v", want, names)
		}
	}
}

func TestConfigMasksSecrets(t *testing.T) {
	for _, args := range [][]string{{"config"}, {"config", "--json"}} {
		got := try(t, map[string]string{
			"JMPUB_MASTER_SECRET": "very-secret", "JMPUB_KAFKA_SASL_PASSWORD": "very-secret", "JMPUB_SCHEMA_REGISTRY_PASSWORD": "very-secret",
		}, args...)
		if strings.Contains(got.stdout+got.stderr, "very-secret") || !strings.Contains(got.stdout, mask) {
			t.Errorf("jmpub %v: %s", args, got.stdout+got.stderr)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v %s %q", secret("x-y-z"), settings{MasterSecret: "x-y-z"}, secret("x-y-z"), secret("x-y-z"), secret("x-y-z")); strings.Contains(text, "x-y-z") {
		t.Errorf("a secret is printed: %s", text)
	}
}

func TestParseTime(t *testing.T) {
	zone := time.FixedZone("UTC+8", 8*60*60)
	for text, want := range map[string]time.Time{
		"2026-11-01T10:00:00+08:00": time.Date(2026, 11, 1, 2, 0, 0, 0, time.UTC),
		"2026-11-01 10:00:00":       time.Date(2026, 11, 1, 2, 0, 0, 0, time.UTC),
		"2026-11-01":                time.Date(2026, 10, 31, 16, 0, 0, 0, time.UTC),
	} {
		if at, _, err := parseTime(text, zone); err != nil || !at.Equal(want) {
			t.Errorf("parseTime(%q) = %v, %v; want %v", text, at, err, want)
		}
	}
	for text, want := range map[string]time.Duration{"36h": 36 * time.Hour, "7d": 7 * 24 * time.Hour, "1.5d": 36 * time.Hour} {
		if _, back, err := parseTime(text, zone); err != nil || back != want {
			t.Errorf("parseTime(%q) = %v, %v; want %v back", text, back, err, want)
		}
	}
	for _, text := range []string{"", "yesterday", "-1h", "1e999d", "NaNd", "2026-13-01"} {
		if _, _, err := parseTime(text, zone); err == nil {
			t.Errorf("parseTime(%q) is no error", text)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, seed := range []string{"60d", "36h", "2026-11-01 10:00:00", "2026-11-01T10:00:00Z", "now", "Infd"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if _, back, err := parseTime(text, time.UTC); err == nil && back < 0 {
			t.Errorf("parseTime(%q) goes %s back", text, back)
		}
	})
}

func TestDemo(t *testing.T) {
	got := try(t, nil, "demo", "--for", "5s", "--history", "1h")
	if got.code != exitDone || !strings.Contains(got.stdout, "every row is there exactly once") {
		t.Errorf("exit code %d\n%s%s", got.code, got.stdout, got.stderr)
	}
	if strings.Contains(got.stdout, "\x1b") {
		t.Error("there are terminal sequences although nobody looks")
	}
}
