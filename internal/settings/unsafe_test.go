package settings

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// clearProxies has no proxy set, whatever whoever runs the tests has set.
func clearProxies(t *testing.T) {
	t.Helper()
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"} {
		t.Setenv(name, "")
	}
}

// complaints is what is said of the variables of proxies: that they are wrong, or what of them means nothing.
func complaints() string {
	p := &parser{}
	p.proxies()
	return fmt.Sprint(p.err(), exceptions())
}

// TestProxySettings tells of what net/http would leave out without a word, by name and without what it holds, and of nothing else. An
// address of a proxy is refused then.
func TestProxySettings(t *testing.T) {
	for setting, values := range map[string][]string{
		"HTTPS_PROXY": {
			"http://user:pass-phrase@proxy host:3128", "http://user:pass-phrase@:3128", "ftp://user:pass-phrase@proxy", "proxy:pass-phrase",
			"http://pass-phrase:99999", "http://user:pass-phrase#1@proxy:3128", "http://proxy:0/pass-phrase", "http://proxy/pass-phrase",
			"://pass-phrase", "http:///pass-phrase", "http://user:pass-phrase%@proxy",
		},
		"http_proxy": {"socks4://pass-phrase", "http://[pass-phrase]:1"},
		"NO_PROXY": {
			"http://pass-phrase", "10.0.0.0/33", "a pass-phrase", "a;pass-phrase", "u:pass-phrase@host", "host:pass-phrase", "host:0", "*.a.*", "a*", ":80",
		},
		"no_proxy": {"localhost,10.0.0.0/pass-phrase"},
	} {
		for _, value := range values {
			t.Run(setting+"="+value, func(t *testing.T) {
				clearProxies(t)
				t.Setenv(setting, value)
				p := &parser{}
				p.proxies()
				if refused := p.err() != nil; refused == strings.EqualFold(setting, "NO_PROXY") {
					t.Errorf("refused: %t", refused)
				}
				if said := complaints(); !strings.Contains(said, setting) || strings.Contains(said, "pass-phrase") {
					t.Errorf("%s, want what names the variable alone", said)
				}
			})
		}
	}
	for setting, values := range map[string][]string{
		"HTTP_PROXY":  {"proxy", "proxy:3128", "http://proxy:3128/", "https://user:p%40ss@proxy", "user:word@proxy:3128", "http://10.0.0.1:3128", "http://[fd00::1]:3128"},
		"https_proxy": {"socks5://proxy:1080", "socks5h://user:word@proxy"},
		"NO_PROXY":    {"*", "localhost,127.0.0.1,::1,[::1]:80, .svc,.cluster.local,10.0.0.0/8,fd00::/8,*.internal,host:8080,a_b.c,", "[fd00::1]", "10.0.0.1:80"},
	} {
		for _, value := range values {
			t.Run(setting+"="+value, func(t *testing.T) {
				clearProxies(t)
				t.Setenv(setting, value)
				if said := complaints(); said != "<nil> []" {
					t.Error(said)
				}
			})
		}
	}
}

// TestUnsafeSettings warns of what others can read on the way or change on the disk, and of nothing else.
func TestUnsafeSettings(t *testing.T) {
	clearProxies(t)
	clearSettings(t)
	safe := filepath.Join(t.TempDir(), "safe")
	open := filepath.Join(t.TempDir(), "open")
	for path, mode := range map[string]os.FileMode{safe: 0o644, open: 0o666} {
		if err := os.WriteFile(path, []byte("pass-phrase\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	sasl := map[string]string{
		"JMPUB_KAFKA_BROKERS": "127.0.0.1:9092,kafka:9092", "JMPUB_KAFKA_SASL": "plain", "JMPUB_KAFKA_SASL_USERNAME": "u", "JMPUB_KAFKA_SASL_PASSWORD": "p",
	}
	avro := map[string]string{
		"JMPUB_EVENT_FORMAT": "avro", "JMPUB_SCHEMA_REGISTRY_URL": "http://registry:8081", "JMPUB_SCHEMA_REGISTRY_USERNAME": "u",
		"JMPUB_SCHEMA_REGISTRY_PASSWORD": "p",
	}
	tokens := map[string]string{"JMPUB_ADMIN_TOKEN": "0123456789abcdef", "JMPUB_LISTEN": "0.0.0.0:9464"}
	for name, c := range map[string]struct {
		env     map[string]string
		changes []string
		want    []string
	}{
		"nothing":                       {nil, nil, nil},
		"plain without TLS":             {sasl, nil, []string{"JMPUB_KAFKA_SASL"}},
		"plain with TLS":                {sasl, []string{"JMPUB_KAFKA_TLS", "on"}, nil},
		"plain to this machine":         {sasl, []string{"JMPUB_KAFKA_BROKERS", "127.0.0.1:9092,localhost:9093,[::1]:9094"}, nil},
		"scram without TLS":             {sasl, []string{"JMPUB_KAFKA_SASL", "scram-sha-512"}, nil},
		"registry without TLS":          {avro, nil, []string{"JMPUB_SCHEMA_REGISTRY_URL"}},
		"registry with TLS":             {avro, []string{"JMPUB_SCHEMA_REGISTRY_URL", "https://registry:8081"}, nil},
		"registry on this machine":      {avro, []string{"JMPUB_SCHEMA_REGISTRY_URL", "http://127.0.0.1:8081"}, nil},
		"registry without credentials":  {avro, []string{"JMPUB_SCHEMA_REGISTRY_USERNAME", "", "JMPUB_SCHEMA_REGISTRY_PASSWORD", ""}, nil},
		"a secret that others change":   {nil, []string{"JMPUB_MASTER_SECRET", "", "JMPUB_MASTER_SECRET_FILE", open}, []string{"JMPUB_MASTER_SECRET_FILE"}},
		"a password that others change": {sasl, []string{"JMPUB_KAFKA_SASL_PASSWORD", "", "JMPUB_KAFKA_SASL_PASSWORD_FILE", open, "JMPUB_KAFKA_BROKERS", "[::1]:1"}, []string{"JMPUB_KAFKA_SASL_PASSWORD_FILE"}},
		"tokens without TLS":            {tokens, nil, []string{"JMPUB_ADMIN_TOKEN"}},
		"tokens on this machine":        {tokens, []string{"JMPUB_LISTEN", "127.0.0.1:9464"}, nil},
		"tokens of nobody who listens":  {tokens, []string{"JMPUB_LISTEN", "off"}, nil},
		"tokens with TLS":               {tokens, []string{"JMPUB_LISTEN_TLS_CERT_FILE", safe, "JMPUB_LISTEN_TLS_KEY_FILE", safe}, nil},
		"a secret that others read":     {nil, []string{"JMPUB_MASTER_SECRET", "", "JMPUB_MASTER_SECRET_FILE", safe}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			env := map[string]string{"JMPUB_APP_KEY": "k", "JMPUB_MASTER_SECRET": "s", "JMPUB_KAFKA_BROKERS": "127.0.0.1:9092"}
			maps.Copy(env, c.env)
			for pair := range slices.Chunk(c.changes, 2) {
				env[pair[0]] = pair[1]
			}
			for name, value := range env {
				t.Setenv(name, value)
			}
			s, err := Read()
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := s.Parse()
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, w := range cfg.Warnings {
				got = append(got, w.Setting)
				if w.Detail == "" || w.Hint == "" || strings.Contains(w.Detail+w.Hint, "pass-phrase") {
					t.Errorf("%+v", w)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("warnings of %v, want %v", got, c.want)
			}
		})
	}
}
