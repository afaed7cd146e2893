package source

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/secret"
)

func TestDefaultsAreValid(t *testing.T) {
	cfg := defaults()
	cfg.AppKey, cfg.MasterSecret = testKey, secret.New(testSecret)
	if err := cfg.Validate(); err != nil {
		t.Errorf("validate: %v", err)
	}
}

func TestValidateReportsEveryMistake(t *testing.T) {
	cfg := Config{
		AppKey: "a:b", MasterSecret: secret.New("with space"), BaseURL: "https://user:pa55word@host/v2", PageSize: 1001,
		Poll: time.Millisecond, Settle: -1, Overlap: 0,
	}
	err := cfg.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, name := range []string{
		"JMPUB_APP_KEY", "JMPUB_MASTER_SECRET", "JMPUB_API_URL", "JMPUB_API_TIME_ZONE", "JMPUB_API_RATE",
		"JMPUB_API_PAGE_SIZE", "JMPUB_POLL", "JMPUB_SETTLE", "JMPUB_OVERLAP",
	} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in: %v", name, err)
		}
	}
	for _, hidden := range []string{"with space", "pa55word"} {
		if strings.Contains(err.Error(), hidden) {
			t.Errorf("%q is shown in: %v", hidden, err)
		}
	}
}

func TestValidateSettings(t *testing.T) {
	for _, test := range []struct {
		name string
		set  func(*Config)
		want string // a part of the error; empty is none
	}{
		{"http", func(c *Config) { c.BaseURL = "http://127.0.0.1:8080/v2/" }, ""},
		{"no scheme", func(c *Config) { c.BaseURL = "report.im.jpush.cn/v2" }, "JMPUB_API_URL"},
		{"other scheme", func(c *Config) { c.BaseURL = "ftp://report.im.jpush.cn/v2" }, "JMPUB_API_URL"},
		{"query", func(c *Config) { c.BaseURL = "https://report.im.jpush.cn/v2?a=b" }, "JMPUB_API_URL"},
		{"fragment", func(c *Config) { c.BaseURL = "https://report.im.jpush.cn/v2#" }, "JMPUB_API_URL"},
		{"no host", func(c *Config) { c.BaseURL = "https:///v2" }, "JMPUB_API_URL"},
		{"settle of none", func(c *Config) { c.Settle = 0 }, ""},
		{"idle poll of its own", func(c *Config) { c.PollIdle = time.Minute }, ""},
		{"idle poll as often", func(c *Config) { c.Poll, c.PollIdle = time.Hour, time.Hour }, ""},
		{"idle poll more often", func(c *Config) { c.PollIdle = time.Second }, "JMPUB_POLL_IDLE: 1s is less than JMPUB_POLL, which is 2s"},
		{"idle poll too seldom", func(c *Config) { c.PollIdle = 3 * time.Minute }, "JMPUB_POLL_IDLE: 3m0s is more than 2m0s"},
		{"overlap of a fraction", func(c *Config) { c.Overlap = 1500 * time.Millisecond }, "JMPUB_OVERLAP"},
		{"overlap of none", func(c *Config) { c.Overlap = 0 }, "JMPUB_OVERLAP"},
		{"secret with a line end", func(c *Config) { c.MasterSecret = secret.New("secret\n") }, "JMPUB_MASTER_SECRET"},
		{"no secret", func(c *Config) { c.MasterSecret = secret.Secret{} }, "JMPUB_MASTER_SECRET"},
		{"page size of none", func(c *Config) { c.PageSize = 0 }, "JMPUB_API_PAGE_SIZE"},
		{"zone with daylight saving", func(c *Config) { c.TimeZone = zone(t, "Europe/Berlin") }, "JMPUB_API_TIME_ZONE"},
		{"zone without", func(c *Config) { c.TimeZone = zone(t, "Asia/Shanghai") }, ""},
		{"utc", func(c *Config) { c.TimeZone = time.UTC }, ""},
		{"half an hour", func(c *Config) { c.TimeZone = zone(t, "Asia/Kolkata") }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := defaults()
			cfg.AppKey, cfg.MasterSecret = testKey, secret.New(testSecret)
			test.set(&cfg)
			err := cfg.Validate()
			if test.want == "" && err != nil {
				t.Errorf("validate: %v", err)
			}
			if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want an error that names %s", err, test.want)
			}
		})
	}
}

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Skipf("no time zone database: %v", err)
	}
	return z
}

func TestOffsetChange(t *testing.T) {
	from := time.Date(1991, 8, 1, 0, 0, 0, 0, time.UTC) // China's last summer time ended on 15 September 1991.
	at, changes := offsetChange(zone(t, "Asia/Shanghai"), from, from.AddDate(1, 0, 0))
	if !changes || at.Format(time.DateOnly) != "1991-09-15" && at.Format(time.DateOnly) != "1991-09-14" {
		t.Errorf("got %v %v, want 15 September 1991", at, changes)
	}
	if at, changes := offsetChange(zone(t, "Asia/Shanghai"), from.AddDate(0, 3, 0), from.AddDate(9, 0, 0)); changes {
		t.Errorf("got a change at %v, want none", at)
	}
}

// TestSecretIsNotPrintable prints config and client by every way there is.
func TestSecretIsNotPrintable(t *testing.T) {
	cfg := testConfig(&script{answers: []answer{page(0, "")}})
	client := newTestClient(t, cfg)
	nested := struct {
		Config Config
		secret secret.Secret
	}{cfg, secret.New(testSecret)}
	var b strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%c", "%U", "%e"} {
		fmt.Fprintf(&b, verb+"\n", cfg.MasterSecret)
		fmt.Fprintf(&b, verb+"\n", cfg)
		fmt.Fprintf(&b, verb+"\n", &cfg)
		fmt.Fprintf(&b, verb+"\n", nested)
		fmt.Fprintf(&b, verb+"\n", client)
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
		slog.New(h).Info("m", slog.Any("config", struct{ S secret.Secret }{cfg.MasterSecret}), slog.Any("secret", cfg.MasterSecret))
	}
	encoded, err := json.Marshal(map[string]any{"s": cfg.MasterSecret, "list": []secret.Secret{cfg.MasterSecret}})
	if err != nil {
		t.Fatalf("marshal: %v", err)
	}
	b.Write(encoded)
	for _, form := range []string{testSecret, fmt.Sprintf("%x", testSecret), fmt.Sprintf("%X", testSecret), "NGY3YWVmMzRm"} {
		if at := strings.Index(b.String(), form); at >= 0 {
			t.Errorf("the secret is shown: %.200s", b.String()[max(0, at-100):])
		}
	}
}

func TestPlainTextIsWarnedOf(t *testing.T) {
	for address, want := range map[string]int{
		"http://report.test/v2": 1, "http://10.0.0.1/v2": 1, "https://report.test/v2": 0,
		"http://127.0.0.1:80/v2": 0, "http://localhost/v2": 0, "http://[::1]:8080/v2": 0,
	} {
		warned := 0
		cfg := testConfig(nil)
		cfg.BaseURL, cfg.Warn = address, func(string, ...slog.Attr) { warned++ }
		newTestClient(t, cfg)
		if warned != want {
			t.Errorf("%s: warned %d times, want %d", address, warned, want)
		}
	}
}
