package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/jmpub/jmpub/internal/lab/broker"
	"github.com/jmpub/jmpub/internal/lab/sim"
)

// setEnv makes these the settings of this process, in which no other test runs then.
func setEnv(t *testing.T, env map[string]string) {
	t.Helper()
	for name, value := range env {
		t.Setenv(name, value)
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
func working(t *testing.T, changes ...func(*sim.Options)) map[string]string {
	t.Helper()
	opts := sim.Defaults()
	for _, change := range changes {
		change(&opts)
	}
	api, err := sim.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	brokers, err := broker.Start(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = brokers.Close() })
	return map[string]string{
		"JMPUB_APP_KEY": opts.AppKey, "JMPUB_MASTER_SECRET": opts.MasterSecret, "JMPUB_API_URL": server.URL + "/v2",
		"JMPUB_KAFKA_BROKERS": brokers.Addrs()[0], "JMPUB_LISTEN": "off", "JMPUB_START": "10m",
	}
}

// TestBadInput expects of each mistake exit code 2 and a message that names the setting.
func TestBadInput(t *testing.T) {
	t.Parallel()
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
	endless := filepath.Join(dir, "endless")
	if err := errors.Join(os.WriteFile(endless, nil, 0o600), os.Truncate(endless, 10<<30)); err != nil {
		t.Fatal(err)
	}
	holding := func(text string) map[string]string {
		file := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return with(good, "JMPUB_MASTER_SECRET", "", "JMPUB_MASTER_SECRET_FILE", file)
	}
	holdingTokens := func(text string) map[string]string {
		file := filepath.Join(t.TempDir(), "tokens")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return with(good, "JMPUB_ADMIN_TOKEN_FILE", file)
	}
	for _, c := range []struct {
		name string
		env  map[string]string
		want []string
	}{
		{"quotes", with(good, "JMPUB_APP_KEY", `"`+good["JMPUB_APP_KEY"]+`"`, "JMPUB_API_URL", "'http://x'"), []string{"JMPUB_APP_KEY stands in quotes", "JMPUB_API_URL stands in quotes"}},
		{"quoted secret", with(good, "JMPUB_MASTER_SECRET", `"sim-master-secret"`), []string{"JMPUB_MASTER_SECRET stands in quotes", "--env-file"}},
		{"typographic quotes", with(good, "JMPUB_START", "“7d”"), []string{"JMPUB_START stands in quotes"}},
		{"Windows line end", with(good, "JMPUB_MASTER_SECRET", "sim-master-secret\r", "JMPUB_POLL", "2s\r"), []string{"JMPUB_MASTER_SECRET has a carriage return", "JMPUB_POLL has a carriage return"}},
		{"byte order mark", with(good, "JMPUB_APP_KEY", "\ufeffabc"), []string{"JMPUB_APP_KEY has a byte order mark"}},
		{"zero width space", with(good, "JMPUB_KAFKA_BROKERS", "kafka\u200b:9092"), []string{"JMPUB_KAFKA_BROKERS has a character in it that cannot be seen, U+200B"}},
		{"spaces around", with(good, "JMPUB_MASTER_SECRET", "sim-master-secret "), []string{"JMPUB_MASTER_SECRET begins or ends with a space"}},
		{"two lines", with(good, "JMPUB_APP_KEY", "a\nb"), []string{"JMPUB_APP_KEY has more than one line"}},
		{"file with quotes", holding(`"sim-master-secret"` + "\n"), []string{"JMPUB_MASTER_SECRET_FILE", "stands in quotes"}},
		{"file with two lines", holding("a\r\nb\r\n"), []string{"JMPUB_MASTER_SECRET_FILE", "carriage return"}},
		{"file in UTF-16", holding("\xff\xfes\x00i\x00m\x00"), []string{"JMPUB_MASTER_SECRET_FILE", "UTF-8"}},
		{"file of a mark alone", holding("\ufeff\r\n"), []string{"JMPUB_MASTER_SECRET_FILE", "empty"}},
		{"nothing set", nil, []string{"JMPUB_APP_KEY", "JMPUB_MASTER_SECRET", "JMPUB_KAFKA_BROKERS"}},
		{"misspelt", with(good, "JMPUB_KAFKA_BROKER", "x"), []string{"JMPUB_KAFKA_BROKER ", "did you mean JMPUB_KAFKA_BROKERS?"}},
		{
			"several at once", with(good, "JMPUB_POLL", "2x", "JMPUB_STREAMS", "user/a", "JMPUB_API_RATE", "fast"),
			[]string{"JMPUB_POLL", "JMPUB_STREAMS", "JMPUB_API_RATE"},
		},
		{"group with a slash", with(good, "JMPUB_GROUP", "a/b"), []string{"JMPUB_GROUP", "letters"}},
		{"group with an exclamation mark", with(good, "JMPUB_GROUP", "a!b"), []string{"JMPUB_GROUP", "letters"}},
		{"streams that overlap", with(good, "JMPUB_STREAMS", "messages,groups/*"), []string{"JMPUB_STREAMS", "twice", "JMPUB_GROUP"}},
		{
			"statistics by the week", with(good, "JMPUB_STATISTICS_UNITS", "week", "JMPUB_STATISTICS_EVERY", "1s", "JMPUB_IM_URL", "ftp://x"),
			[]string{"JMPUB_STATISTICS_UNITS", "hour,day,month", "JMPUB_STATISTICS_EVERY", "1m0s", "JMPUB_IM_URL"},
		},
		{"overlap of nothing", with(good, "JMPUB_OVERLAP", "0s"), []string{"JMPUB_OVERLAP"}},
		{"summer time", with(good, "JMPUB_API_TIME_ZONE", "Europe/Berlin"), []string{"JMPUB_API_TIME_ZONE"}},
		{"unknown zone", with(good, "JMPUB_API_TIME_ZONE", "Moon/Sea"), []string{"JMPUB_API_TIME_ZONE"}},
		{"start in words", with(good, "JMPUB_START", "yesterday"), []string{"JMPUB_START", "2026-11-01T10:00:00+08:00", "36h"}},
		{"secret that is a device", with(good, "JMPUB_MASTER_SECRET", "", "JMPUB_MASTER_SECRET_FILE", "/dev/zero"), []string{"JMPUB_MASTER_SECRET_FILE", "/dev/zero", "a device"}},
		{"password that is a folder", with(avro, "JMPUB_SCHEMA_REGISTRY_PASSWORD", "", "JMPUB_SCHEMA_REGISTRY_PASSWORD_FILE", dir), []string{"JMPUB_SCHEMA_REGISTRY_PASSWORD_FILE", "a folder"}},
		{"secret of 10 GB", with(good, "JMPUB_MASTER_SECRET", "", "JMPUB_MASTER_SECRET_FILE", endless), []string{"JMPUB_MASTER_SECRET_FILE", "larger than 64 KiB"}},
		{"file with a zero byte", holding("sim-master\x00secret"), []string{"JMPUB_MASTER_SECRET_FILE", "U+0000"}},
		{"certificate that is a device", with(good, "JMPUB_KAFKA_TLS", "on", "JMPUB_KAFKA_TLS_CA_FILE", "/dev/zero"), []string{"JMPUB_KAFKA_TLS_CA_FILE", "a device"}},
		{"key of 10 GB", with(good, "JMPUB_KAFKA_TLS", "on", "JMPUB_KAFKA_TLS_CERT_FILE", empty, "JMPUB_KAFKA_TLS_KEY_FILE", endless), []string{"JMPUB_KAFKA_TLS_KEY_FILE", "larger than 64 KiB"}},
		{"proxy that is none", with(good, "HTTPS_PROXY", "http://user:pass-phrase@:3128"), []string{"HTTPS_PROXY", "http://proxy:3128"}},
		{"host with a port", with(good, "JMPUB_LISTEN_HOSTS", "jmpub.example:9464"), []string{"JMPUB_LISTEN_HOSTS", "without a port"}},
		{"short token", with(good, "JMPUB_ADMIN_TOKEN", "fifteen-letters"), []string{"JMPUB_ADMIN_TOKEN", "16", "openssl rand"}},
		{"token with a blank", with(good, "JMPUB_ADMIN_TOKEN", "0123456789 abcdef"), []string{"JMPUB_ADMIN_TOKEN", "letters, digits"}},
		{"two tokens of one name", holdingTokens("a:0123456789abcdef\na:0123456789abcdeg\n"), []string{"JMPUB_ADMIN_TOKEN", "the name a"}},
		{"token of no name", holdingTokens("a b:0123456789abcdef\n"), []string{"JMPUB_ADMIN_TOKEN", "before a colon"}},
		{"file of tokens that is empty", holdingTokens("\n"), []string{"JMPUB_ADMIN_TOKEN_FILE", "empty"}},
		{"token and file", with(holdingTokens("0123456789abcdef"), "JMPUB_ADMIN_TOKEN", "0123456789abcdef"), []string{"JMPUB_ADMIN_TOKEN_FILE"}},
		{"server's certificate without key", with(good, "JMPUB_LISTEN_TLS_CERT_FILE", empty), []string{"JMPUB_LISTEN_TLS_KEY_FILE"}},
		{"server's certificate that is none", with(good, "JMPUB_LISTEN", "127.0.0.1:0", "JMPUB_LISTEN_TLS_CERT_FILE", empty, "JMPUB_LISTEN_TLS_KEY_FILE", empty), []string{"JMPUB_LISTEN_TLS_CERT_FILE"}},
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
			t.Parallel()
			got := try(t, c.env, "run")
			if got.code != exitUsage {
				t.Errorf("exit code %d, want %d; %s", got.code, exitUsage, got.stderr)
			}
			for _, want := range c.want {
				if !strings.Contains(got.stderr, want) {
					t.Errorf("the message lacks %q:\n%s", want, got.stderr)
				}
			}
			for _, name := range []string{"JMPUB_MASTER_SECRET", "JMPUB_SCHEMA_REGISTRY_PASSWORD", "JMPUB_ADMIN_TOKEN"} {
				if secret := c.env[name]; secret != "" && strings.Contains(got.stderr+got.stdout, secret) {
					t.Errorf("the secret is shown:\n%s", got.stderr)
				}
			}
		})
	}
}

// TestKafkaComesLate starts a run before its Kafka is there: it says which address it waits for, and then publishes.
func TestKafkaComesLate(t *testing.T) {
	t.Parallel()
	there, err := broker.Start(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	address := there.Addrs()[0]
	if err = there.Close(); err != nil {
		t.Fatal(err)
	}
	run := startRun(t, with(working(t), "JMPUB_KAFKA_BROKERS", address, "JMPUB_LOG_FORMAT", "text"))
	run.says(t, "level=WARN", "connect to Kafka at "+address)
	if there, err = broker.Start(broker.Options{Listen: address}); err != nil {
		t.Fatal(err)
	}
	defer there.Close() //nolint:errcheck // It kept nothing.
	run.says(t, "msg=publishing")
	if got := run.stop(); got != exitDone {
		t.Errorf("exit code %d, want %d", got, exitDone)
	}
}

// TestASecondRunStandsBy expects a second run to stand by while the first one publishes, and to go on when that leaves.
func TestASecondRunStandsBy(t *testing.T) {
	t.Parallel()
	env := with(working(t), "JMPUB_LOG_FORMAT", "text", "JMPUB_LOG", "debug")
	first := startRun(t, env)
	first.says(t, "window committed")
	second := startRun(t, env)
	second.says(t, "standing by")
	first.says(t, "window committed")
	if got := first.stop(); got != exitDone {
		t.Errorf("the first run's exit code is %d, want %d", got, exitDone)
	}
	second.says(t, "msg=publishing")
	second.says(t, "window committed")
	if got := second.stop(); got != exitDone {
		t.Errorf("the second run's exit code is %d, want %d", got, exitDone)
	}
}

// TestWithoutAGroupTheSecondRunTakesOver expects the first run to leave with exit code 3 where processes do not know each other.
func TestWithoutAGroupTheSecondRunTakesOver(t *testing.T) {
	t.Parallel()
	env := with(working(t), "JMPUB_GROUP", "off", "JMPUB_LOG_FORMAT", "text", "JMPUB_LOG", "debug")
	first := startRun(t, env)
	first.says(t, "window committed")
	second := startRun(t, env)
	second.says(t, "window committed")
	for range first.log { // Until it ends.
	}
	if got := <-first.code; got != exitFenced {
		t.Errorf("the first run's exit code is %d, want %d", got, exitFenced)
	}
	if got := second.stop(); got != exitDone {
		t.Errorf("the second run's exit code is %d, want %d", got, exitDone)
	}
}

// startedRun is a `jmpub run` whose log is followed.
type startedRun struct {
	log  chan string
	code chan int
	end  context.CancelFunc
}

func startRun(t *testing.T, env map[string]string) *startedRun {
	t.Helper()
	run := &startedRun{log: make(chan string), code: make(chan int, 1)}
	ctx, end := context.WithTimeout(t.Context(), 2*time.Minute) // So that a mistake ends the test.
	t.Cleanup(end)
	run.end = end
	said, stderr := io.Pipe()
	go func() {
		run.code <- command(ctx, env, io.Discard, stderr, "run")
		_ = stderr.Close() // It ends the lines below.
	}()
	go func() {
		defer close(run.log)
		for lines := bufio.NewScanner(said); lines.Scan(); {
			select {
			case run.log <- lines.Text():
			case <-ctx.Done():
			}
		}
	}()
	return run
}

// says waits for a line of the log with all of the words.
func (r *startedRun) says(t *testing.T, words ...string) {
	t.Helper()
	for line := range r.log {
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) }) {
			return
		}
	}
	t.Fatalf("the run ended with exit code %d and did not say %q", <-r.code, words)
}

func (r *startedRun) stop() int {
	r.end()
	return <-r.code
}

// TestGatewayAtTheStart expects exit code 1 of an answer that is not the API's own: the next start may find the API again.
func TestGatewayAtTheStart(t *testing.T) {
	t.Parallel()
	good := working(t)
	for _, status := range []int{http.StatusNotFound, http.StatusForbidden, http.StatusUnauthorized, http.StatusFound} {
		gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		got := try(t, with(good, "JMPUB_API_URL", gateway.URL+"/v2"), "run")
		gateway.Close()
		if got.code != exitFailed || !strings.Contains(got.stderr, strconv.Itoa(status)) {
			t.Errorf("status %d: exit code %d, %s", status, got.code, got.stderr)
		}
	}
}

func TestWrongUse(t *testing.T) {
	t.Parallel()
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

func TestConfigMasksSecrets(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"config"}, {"config", "--json"}} {
		got := try(t, map[string]string{
			"JMPUB_MASTER_SECRET": "very-secret", "JMPUB_KAFKA_SASL_PASSWORD": "very-secret", "JMPUB_SCHEMA_REGISTRY_PASSWORD": "very-secret",
			"JMPUB_ADMIN_TOKEN": "bob:very-secret-token",
		}, args...)
		if strings.Contains(got.stdout+got.stderr, "very-secret") || !strings.Contains(got.stdout, "********") {
			t.Errorf("jmpub %v: %s", args, got.stdout+got.stderr)
		}
	}
}

func TestDemo(t *testing.T) {
	t.Parallel()
	got := try(t, nil, "demo", "--for", "5s", "--history", "1h")
	if got.code != exitDone || !strings.Contains(got.stdout, "every row is there exactly once") {
		t.Errorf("exit code %d\n%s%s", got.code, got.stdout, got.stderr)
	}
	if strings.Contains(got.stdout, "\x1b") {
		t.Error("there are terminal sequences although nobody looks")
	}
}

// TestSecretFileOfWindows expects the file of an editor that begins it with a byte order mark and ends its line with CR and LF to work.
func TestSecretFileOfWindows(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("\ufeffSimulatedMasterSecret001\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := with(working(t), "JMPUB_MASTER_SECRET", "", "JMPUB_MASTER_SECRET_FILE", file)
	if got := try(t, env, "replay", "--from", "10m", "--to", "5m", "--dry-run"); got.code != exitDone {
		t.Errorf("exit code %d: %s", got.code, got.stderr)
	}
}
