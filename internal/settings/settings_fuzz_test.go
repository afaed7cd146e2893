package settings

import (
	"reflect"
	"strings"
	"testing"

	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/internal/usage"
)

// Any settings are accepted, or refused as wrong use in words that name a setting and give no secret away. The files that
// settings can name are left out.
func FuzzSettings(f *testing.F) {
	const password, master = "the-password-itself", "the-master-secret-itself"
	f.Fuzz(func(t *testing.T, text string) {
		s := &Settings{}
		given := make(map[string]string)
		for line := range strings.Lines(text) {
			if name, value, ok := strings.Cut(strings.TrimRight(line, "\n"), "="); ok && !strings.HasSuffix(name, "_FILE") {
				given[name] = value
			}
		}
		s.fields(func(name, _ string, field reflect.Value) {
			if field.Kind() == reflect.String { // Secrets are set below.
				field.SetString(given[name])
			}
		})
		s.MasterSecret, s.Kafka.SASLPassword = secret.New(master), secret.New(password)
		s.fillDefaults()
		cfg, err := s.Parse()
		if err == nil {
			if len(cfg.Streams) == 0 || cfg.Parallel < 1 || cfg.Source.Rate.Requests < 1 {
				t.Errorf("%q is accepted, but nothing could be done with %+v", text, cfg.Streams)
			}
			return
		}
		said := err.Error()
		if !asUsage(err) || !strings.Contains(said, envPrefix+"_") {
			t.Errorf("%q is refused with %v, which names no setting", text, err)
		}
		if strings.Contains(said, password) || strings.Contains(said, master) {
			t.Errorf("%q is refused with a secret: %v", text, err)
		}
	})
}

func asUsage(err error) bool {
	_, ok := err.(usage.Error) //nolint:errorlint // What parse returns, not what it may hold.
	return ok
}
