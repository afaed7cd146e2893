//go:build integration

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestWrongPort expects of each setting that leads to a port where something else is spoken exit code 2, within seconds, and a message
// that names the setting and says what is spoken there.
func TestWrongPort(t *testing.T) {
	t.Parallel()
	good := working(t)
	encrypted := httptest.NewTLSServer(nil)
	t.Cleanup(encrypted.Close)
	port := func(url string) string { return strings.Split(strings.SplitN(url, "//", 2)[1], "/")[0] }
	tlsOn := with(good, "JMPUB_KAFKA_TLS", "on")
	for name, c := range map[string]struct {
		env  map[string]string
		want string
	}{
		"TLS to Kafka without it":  {tlsOn, "Kafka answers there without TLS; set JMPUB_KAFKA_TLS=off"},
		"none to Kafka that wants": {with(good, "JMPUB_KAFKA_BROKERS", encryptingPort(t)), "the port wants TLS; set JMPUB_KAFKA_TLS=on"},
		"HTTP instead of Kafka":    {with(good, "JMPUB_KAFKA_BROKERS", port(good["JMPUB_API_URL"])), "an HTTP server answers there, not Kafka; check the port in JMPUB_KAFKA_BROKERS"},
		"the same with TLS":        {with(tlsOn, "JMPUB_KAFKA_BROKERS", port(good["JMPUB_API_URL"])), "an HTTP server answers there"},
		"HTTPS instead of Kafka":   {with(good, "JMPUB_KAFKA_BROKERS", port(encrypted.URL)), "an HTTP server answers there"},
		"https to an API without":  {with(good, "JMPUB_API_URL", strings.Replace(good["JMPUB_API_URL"], "http:", "https:", 1)), "JMPUB_API_URL: the port of https://"},
		"http to an API with":      {with(good, "JMPUB_API_URL", "http://"+port(encrypted.URL)), "wants TLS; begin the address with https://"},
		"http to a port with TLS":  {with(good, "JMPUB_API_URL", "http://"+encryptingPort(t)), "wants TLS; begin the address with https://"},
		"Kafka instead of the API": {with(good, "JMPUB_API_URL", "http://"+good["JMPUB_KAFKA_BROKERS"]), "JMPUB_API_URL: Kafka answers at"},
		"Kafka that wants a login": {with(good, "JMPUB_KAFKA_BROKERS", loginPort(t, good["JMPUB_KAFKA_BROKERS"])), "set JMPUB_KAFKA_SASL"},
	} {
		got := try(t, c.env, "run")
		if got.code != exitUsage || !strings.Contains(got.stderr, c.want) {
			t.Errorf("%s: exit code %d, want %q: %s", name, got.code, c.want, got.stderr)
		}
	}
}

// serving accepts connections until the test ends.
func serving(t *testing.T, listener net.Listener, serve func(net.Conn)) string {
	t.Helper()
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close() //nolint:errcheck // It has said all that it has to say.
				serve(conn)
			}()
		}
	}()
	return listener.Addr().String()
}

// encryptingPort speaks TLS and nothing within it, and hangs up on everything else, as Kafka does.
func encryptingPort(t *testing.T) string {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: server.TLS.Certificates, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	return serving(t, listener, func(conn net.Conn) { _, _ = conn.Read(make([]byte, 1)) })
}

// loginPort answers which versions a broker has, and hangs up at whatever comes next.
func loginPort(t *testing.T, broker string) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serving(t, listener, func(client net.Conn) {
		server, err := new(net.Dialer).DialContext(t.Context(), "tcp", broker)
		if err != nil {
			return
		}
		defer server.Close() //nolint:errcheck // As above.
		buffer := make([]byte, 64<<10)
		n, _ := client.Read(buffer)
		if n < 6 || buffer[5] != 18 { // ApiVersions.
			return
		}
		_, _ = server.Write(buffer[:n])
		n, _ = server.Read(buffer)
		_, _ = client.Write(buffer[:n])
		_, _ = client.Read(buffer)
	})
}

// TestProxyWantsLogin expects a proxy that lets nobody through to be named, for an API with TLS and for one without.
func TestProxyWantsLogin(t *testing.T) {
	t.Parallel()
	scheme, isChild := os.LookupEnv("TEST_PROXY")
	if !isChild { // net/http reads the proxy's settings once a process.
		proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusProxyAuthRequired) }))
		t.Cleanup(proxy.Close)
		for _, scheme = range []string{"http", "https"} {
			out := inProcess(t, "TestProxyWantsLogin", "TEST_PROXY="+scheme, "HTTP_PROXY="+proxy.URL, "HTTPS_PROXY="+proxy.URL)
			if !strings.Contains(out, "PASS") {
				t.Errorf("%s: %s", scheme, out)
			}
		}
		return
	}
	url := scheme + "://report.test/v2"
	started := time.Now()
	got := try(t, map[string]string{
		"JMPUB_APP_KEY": "k", "JMPUB_MASTER_SECRET": "s", "JMPUB_API_URL": url, "JMPUB_KAFKA_BROKERS": "127.0.0.1:1",
	}, "run")
	if got.code != exitUsage || !strings.Contains(got.stderr, "HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT") || time.Since(started) > 10*time.Second {
		t.Errorf("exit code %d after %s: %s", got.code, time.Since(started), got.stderr)
	}
}

// inProcess runs a test of this package in a process of its own, with more variables, and returns what it prints.
func inProcess(t *testing.T, test string, env ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+test+"$", "-test.v") //nolint:gosec // It is this very binary.
	cmd.Env = append(os.Environ(), env...)
	out, _ := cmd.CombinedOutput() // It says what failed.
	return string(out)
}

// TestFolderThatCannotBeWritten expects the setting and the folder to be named.
func TestFolderThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	good := working(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below"), "/proc/none", "/proc"} { // The last is there; even root may not write.
		got := try(t, with(good, "JMPUB_CHECKPOINT", "file:"+dir), "run")
		if got.code != exitUsage || !strings.Contains(got.stderr, "JMPUB_CHECKPOINT: open the checkpoint folder "+dir) ||
			!strings.Contains(got.stderr, "that this user may write") {
			t.Errorf("%s: exit code %d: %s", dir, got.code, got.stderr)
		}
	}
}

// TestFirstStartRaisesNoAlarm expects a first start on an empty Kafka to log no warning, and nothing about windows that are only being
// planned; one that begins before what the API holds says so before the first window is read.
func TestFirstStartRaisesNoAlarm(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	logged := func(start string) string {
		env := with(s.env, "JMPUB_START", start, "JMPUB_TOPIC_PREFIX", "from-"+start)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		var said bytes.Buffer
		if code := command(ctx, env, io.Discard, &said, "run"); code != exitDone {
			t.Errorf("from %s: exit code %d", start, code)
		}
		return said.String()
	}
	if log := logged("30m"); strings.Contains(log, `"WARN"`) || strings.Contains(log, "read again") || strings.Count(log, "\n") != 2 {
		t.Errorf("it logs:\n%s", log)
	}
	if log := logged("60d"); strings.Contains(log, `"WARN"`) {
		t.Errorf("from the oldest on it logs:\n%s", log)
	}
	log := logged("90d")
	told, gap := strings.Index(log, "the start lies before what the API holds"), strings.Index(log, `"kind":"gap"`)
	if told < 0 || gap >= 0 && gap < told {
		t.Errorf("from before the history on it logs:\n%s", log)
	}
}

// TestUnreachable expects a message that names each address, and exit code 1: it may only be too early.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	got := try(t, with(working(t), "JMPUB_KAFKA_BROKERS", "127.0.0.1:1,nowhere.invalid:9092"), "run")
	for _, want := range []string{"127.0.0.1:1", "nowhere.invalid:9092", "JMPUB_KAFKA_BROKERS"} {
		if got.code != exitFailed || !strings.Contains(got.stderr, want) {
			t.Errorf("exit code %d without %s, want %d: %s", got.code, want, exitFailed, got.stderr)
		}
	}
}
