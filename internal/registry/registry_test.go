package registry_test

import (
	"compress/gzip"
	"context"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/jmpub/jmpub/internal/registry"
	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/pipeline"
)

const schema = `{"type":"record","name":"R","fields":[{"name":"a","type":"long"}]}`

func newClient(t *testing.T, cfg registry.Config) *registry.Client {
	t.Helper()
	c, err := registry.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestRegisterOnce registers a schema at the first question for it, and asks nothing at the second.
func TestRegisterOnce(t *testing.T) {
	fake := srfake.New()
	t.Cleanup(fake.Close)
	c := newClient(t, registry.Config{URL: fake.URL(), Register: true})
	first, err := c.ID(t.Context(), "a-value", schema)
	if err != nil {
		t.Fatal(err)
	}
	stored, ok := fake.GetSchema("a-value", 1)
	if !ok || stored.ID != first || stored.Schema.Schema != schema || stored.Type != sr.TypeAvro {
		t.Errorf("the id is %d, and there is %+v", first, stored)
	}
	requests := 0
	fake.Intercept(func(http.ResponseWriter, *http.Request) bool { requests++; return false })
	again, err := c.ID(t.Context(), "a-value", schema)
	if err != nil || again != first || requests > 0 {
		t.Errorf("the second time the id is %d after %d requests, with %v", again, requests, err)
	}
	other := newClient(t, registry.Config{URL: fake.URL()}) // Only looks up, and finds what the first has registered.
	if id, err := other.ID(t.Context(), "a-value", schema); err != nil || id != first {
		t.Errorf("looked up, the id is %d, with %v", id, err)
	}
}

// TestLookUpAddsNothing leaves a registry as it is.
func TestLookUpAddsNothing(t *testing.T) {
	fake := srfake.New()
	t.Cleanup(fake.Close)
	c := newClient(t, registry.Config{URL: fake.URL()})
	if _, err := c.ID(t.Context(), "a-value", schema); pipeline.ClassOf(err) != pipeline.Permanent ||
		!strings.Contains(err.Error(), "JMPUB_SCHEMA_REGISTRY_REGISTER") || !strings.Contains(err.Error(), "a-value") {
		t.Errorf("an unknown subject: %v", err)
	}
	if fake.SubjectExists("a-value") {
		t.Error("the subject was made")
	}
	if _, _, err := fake.RegisterSchema("a-value", sr.Schema{Schema: `{"type":"string"}`}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ID(t.Context(), "a-value", schema); pipeline.ClassOf(err) != pipeline.Permanent || !strings.Contains(err.Error(), "message.avsc") {
		t.Errorf("an unknown schema: %v", err)
	}
}

// TestEndlessAnswers asks a registry whose answers do not end, or are small and become endless. They are read no further than any answer
// can be long.
func TestEndlessAnswers(t *testing.T) {
	zeros := make([]byte, 1<<20)
	endless := func(status int, head string, compressed bool) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			to := io.Writer(w)
			if compressed {
				w.Header().Set("Content-Encoding", "gzip")
				to = gzip.NewWriter(w)
			}
			w.WriteHeader(status)
			_, err := io.WriteString(to, head)
			for n := 0; err == nil && n < 2<<10; n++ { // 2 GiB, should anybody read so much.
				_, err = to.Write(zeros)
			}
		}
	}
	for name, answer := range map[string]http.HandlerFunc{
		"an id":             endless(http.StatusOK, `{"id":1,"x":"`, false),
		"an error":          endless(http.StatusNotFound, `{"message":"`, false),
		"a compressed id":   endless(http.StatusOK, `{"id":1,"x":"`, true),
		"a compressed page": endless(http.StatusBadGateway, "<html>", true),
	} {
		server := httptest.NewServer(answer)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := newClient(t, registry.Config{URL: server.URL}).ID(t.Context(), "a-value", schema)
		runtime.ReadMemStats(&after)
		server.Close()
		if taken := after.TotalAlloc - before.TotalAlloc; pipeline.ClassOf(err) != pipeline.Transient || taken > 64<<20 {
			t.Errorf("%s: %d MiB were taken, %v", name, taken>>20, err)
		}
	}
}

// TestAnswers holds what each kind of answer asks for, and that the message says which setting to look at.
func TestAnswers(t *testing.T) {
	const password = "pass-phrase"
	for _, tc := range []struct {
		name   string
		status int
		body   string
		class  pipeline.Class
		says   string
	}{
		{"no credentials", 401, `{"error_code":40101,"message":"Unauthorized"}`, pipeline.Permanent, "JMPUB_SCHEMA_REGISTRY_USERNAME"},
		{"forbidden", 403, `{"error_code":40301,"message":"Forbidden"}`, pipeline.Permanent, "JMPUB_SCHEMA_REGISTRY_USERNAME"},
		{"incompatible", 409, `{"error_code":409,"message":"READER_FIELD_MISSING_DEFAULT_VALUE"}`, pipeline.Permanent, "compatibility rule"},
		{"read only", 422, `{"error_code":42205,"message":"Subject is in read-only mode"}`, pipeline.Permanent, "read-only"},
		{"another service", 404, `<html>not found</html>`, pipeline.Permanent, "JMPUB_SCHEMA_REGISTRY_URL"},
		{"another service's 200", 200, `<html>welcome</html>`, pipeline.Permanent, "JMPUB_SCHEMA_REGISTRY_URL"},
		{"another API", 200, `{"status":"UP"}`, pipeline.Permanent, "JMPUB_SCHEMA_REGISTRY_URL"},
		{"another form", 200, `[]`, pipeline.Permanent, "JMPUB_SCHEMA_REGISTRY_URL"},
		{"a page without end", 400, strings.Repeat("x", 10_000), pipeline.Permanent, "xxx…"},
		{"too many requests", 429, `{"error_code":429,"message":"slow down"}`, pipeline.Transient, "429"},
		{"no leader", 500, `{"error_code":50003,"message":"Error while forwarding the request to the primary"}`, pipeline.Transient, "primary"},
		{"a proxy that shows the request", 400, "Authorization: Basic dTpwYXNzLXBocmFzZQ== of u:" + password, pipeline.Permanent, secret.Mask},
		{"down behind a proxy", 503, ``, pipeline.Transient, "503"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				user, got, _ := r.BasicAuth()
				if user != "u" || got != password {
					t.Errorf("the credentials are %q and %q", user, got)
				}
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, tc.body) // The client may have left.
			}))
			t.Cleanup(server.Close)
			for _, register := range []bool{false, true} {
				c := newClient(t, registry.Config{URL: server.URL, Username: "u", Password: secret.New(password), Register: register})
				_, err := c.ID(t.Context(), "a-value", schema)
				if err == nil || pipeline.ClassOf(err) != tc.class || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("register %t: %v, want %s with %q", register, err, tc.class, tc.says)
				}
				if text := err.Error(); strings.Contains(text, password) || strings.Contains(text, "dTpwYXNz") || len(text) > 1000 {
					t.Errorf("register %t: the message is %s", register, text)
				}
				if answered := registry.Answered(err); answered != (tc.status != http.StatusOK) {
					t.Errorf("register %t: answered is %t", register, answered)
				}
			}
		})
	}
}

// TestNobodyAnswers is waited for.
func TestNobodyAnswers(t *testing.T) {
	c := newClient(t, registry.Config{URL: "http://127.0.0.1:1"})
	_, err := c.ID(t.Context(), "a-value", schema)
	if pipeline.ClassOf(err) != pipeline.Transient || registry.Answered(err) || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = c.ID(ctx, "a-value", schema); pipeline.ClassOf(err) == pipeline.Transient || err == nil {
		t.Errorf("after the end: %v", err)
	}
}

// TestTLS trusts the certificates that are named, and says what to do about others.
func TestTLS(t *testing.T) {
	fake := srfake.NewRegistry()
	server := httptest.NewUnstartedServer(fake.Handler())
	server.Config.ErrorLog = nil
	server.StartTLS()
	t.Cleanup(server.Close)
	_, err := newClient(t, registry.Config{URL: server.URL, Register: true}).ID(t.Context(), "a-value", schema)
	if pipeline.ClassOf(err) != pipeline.Permanent || err == nil || !strings.Contains(err.Error(), "JMPUB_SCHEMA_REGISTRY_CA_FILE") {
		t.Errorf("a certificate of nobody: %v", err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err = os.WriteFile(file, block, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = newClient(t, registry.Config{URL: server.URL, CAFile: file, Register: true}).ID(t.Context(), "a-value", schema); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{file + ".none", os.Args[0]} {
		if _, err = registry.New(registry.Config{URL: server.URL, CAFile: bad}); err == nil ||
			!strings.Contains(err.Error(), "JMPUB_SCHEMA_REGISTRY_CA_FILE") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
