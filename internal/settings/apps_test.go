package settings

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/sink"
)

// common are settings of a process with the apps of a file.
func common(path string) *Settings {
	s := Defaults()
	s.AppsFile, s.Kafka.Brokers = path, "kafka:9092"
	return s
}

// writeApps writes a file of apps in a folder of its own and returns its path.
func writeApps(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "apps.yaml")
	rewrite(t, path, text)
	return path
}

func rewrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestAppsOfAFile has what each app says, and what all have in common.
func TestAppsOfAFile(t *testing.T) {
	path := writeApps(t, `# Two apps.
apps:
  - app_key: 0123456789
    master_secret: "secret:one"
    streams: [users/a, users/b]
    rate: 5/s
    partition_by: conversation
  - app_key: second
    master_secret_file: second.secret
    topic_prefix: others
    time_zone: UTC
    start: now
`)
	rewrite(t, filepath.Join(filepath.Dir(path), "second.secret"), "the-second's\n")
	file, all, err := NewAppsFile(common(path))
	if err != nil {
		t.Fatal(err)
	}
	apps, err := file.Load()
	if err != nil || len(apps) != 2 {
		t.Fatalf("%d apps, %v", len(apps), err)
	}
	first, second := apps[0], apps[1]
	if all.Source.AppKey != "" || !all.Source.MasterSecret.IsEmpty() || all.Topics.Prefix != "jmessage" {
		t.Errorf("what they have in common: %+v", all)
	}
	if first.Source.AppKey != "0123456789" || first.Source.MasterSecret.Reveal() != "secret:one" || len(first.Streams) != 2 ||
		first.Source.Rate.String() != "5/s" || first.Sink.PartitionBy != sink.ByConversation || first.Topics.Prefix != "jmessage" {
		t.Errorf("the first app is %+v", first)
	}
	if second.Source.MasterSecret.Reveal() != "the-second's" || second.Topics.Prefix != "others" || second.Source.TimeZone.String() != "UTC" ||
		!second.Start.At.IsZero() || second.Start.Back != 0 || second.Sink.PartitionBy != sink.ByMsgID || second.Streams[0].String() != "messages" {
		t.Errorf("the second app is %+v", second)
	}
}

// TestNamesOfTheApps are those of a file with the topics of each, whatever is wrong with it; settings without a file name their one app.
func TestNamesOfTheApps(t *testing.T) {
	path := writeApps(t, "apps:\n- {app_key: a}\n- {app_key: b, topic_prefix: others, start: whenever}\n- {unknown: c}\n")
	file, cfg, err := common(path).Shared()
	if err != nil || cfg.Topics.Prefix != "jmessage" {
		t.Fatalf("%+v, %v", cfg, err)
	}
	if got, want := file.Names(), []AppName{{"a", "jmessage"}, {"b", "others"}}; !slices.Equal(got, want) {
		t.Errorf("the names are %v, want %v", got, want)
	}
	s := Defaults()
	s.AppKey, s.MasterSecret, s.Kafka.Brokers = "a", secret.New("s"), "kafka:9092"
	if file, cfg, err = s.Shared(); err != nil || file != nil || cfg.Source.AppKey != "a" {
		t.Errorf("%v, %+v, %v", file, cfg, err)
	}
	s.Kafka.Brokers = ""
	if _, _, err = s.Shared(); err == nil {
		t.Error("settings without brokers are accepted")
	}
}

// TestAppsFileIsReadAgain tells what has changed by the pointers: an app, a secret in a file of its own. A file with a mistake changes nothing.
func TestAppsFileIsReadAgain(t *testing.T) {
	const first, second, third = "- {app_key: a, master_secret_file: a.secret}\n", "- {app_key: b, master_secret: s}\n", "- {app_key: c, master_secret: s}\n"
	path := writeApps(t, "apps:\n"+first+second)
	hidden := filepath.Join(filepath.Dir(path), "a.secret")
	rewrite(t, hidden, "one")
	file, _, err := NewAppsFile(common(path))
	if err != nil {
		t.Fatal(err)
	}
	load := func() map[string]*Config {
		t.Helper()
		apps, loadErr := file.Load()
		if loadErr != nil {
			t.Fatal(loadErr)
		}
		byKey := make(map[string]*Config)
		for _, app := range apps {
			byKey[app.Source.AppKey] = app
		}
		return byKey
	}
	before := load()
	rewrite(t, hidden, "two")
	rewrite(t, path, "apps:\n"+third+first+second)
	after := load()
	if len(after) != 3 || after["b"] != before["b"] || after["a"] == before["a"] || after["a"].Source.MasterSecret.Reveal() != "two" {
		t.Errorf("before %v, after %v", before, after)
	}
	rewrite(t, path, "apps:\n"+first+"- {app_key: b, master_secret: s, start: whenever}\n")
	if _, err = file.Load(); err == nil {
		t.Error("a mistake is accepted")
	}
	rewrite(t, path, "apps:\n"+first+second)
	if again := load(); len(again) != 2 || again["a"] != after["a"] || again["b"] != before["b"] {
		t.Errorf("after a mistake: %v", again)
	}
}

// TestMistakesOfAnAppsFile names the line, the field and what is wanted, and shows no secret.
func TestMistakesOfAnAppsFile(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"no YAML":             {"apps:\n  - a: [b\n", []string{"line 1: did not find"}},
		"nothing":             {"", []string{"it names no app"}},
		"no list":             {"apps: 5\n", []string{"line 1: want one list of apps"}},
		"a text":              {"just words\n", []string{"line 1: want a list under `apps:`"}},
		"another key":         {"app:\n  - {app_key: a}\n", []string{`line 1: "app" is unknown`}},
		"an unknown field":    {"apps:\n  - app_key: a\n    masterSecret: hush\n", []string{`line 3: "masterSecret" is unknown; did you mean master_secret?`}},
		"a secret for a key":  {"apps:\n  - app_key: a\n    hush0123: \n", []string{"line 3: a key is unknown"}},
		"a secret with a *":   {"apps:\n  - app_key: a\n    master_secret: *hush\n", []string{"put it into quotes"}},
		"a field twice":       {"apps:\n  - app_key: a\n    start: 1d\n    start: 2d\n", []string{"line 4", "start"}},
		"an app twice":        {"apps:\n  - {app_key: a, master_secret: s}\n  - {app_key: a, master_secret: s, topic_prefix: o}\n", []string{"line 3: the app a is in line 2 already"}},
		"no secret":           {"apps:\n  - app_key: a\n", []string{"line 2: master_secret is not set", "with master_secret_file"}},
		"no key":              {"apps:\n  - master_secret: hush\n", []string{"line 2: app_key is not set"}},
		"both secrets":        {"apps:\n  - {app_key: a, master_secret: hush, master_secret_file: b}\n", []string{"line 2: master_secret and master_secret_file are both set"}},
		"no file":             {"apps:\n  - app_key: a\n    master_secret_file: /not/there\n", []string{"line 3: master_secret_file:", "/not/there"}},
		"a wrong value":       {"apps:\n  - app_key: a\n    master_secret: s\n    rate: fast\n", []string{`line 4: rate: "fast" is not a rate such as 600/m`}},
		"several":             {"apps:\n  - {app_key: a, master_secret: s, start: x}\n  - {app_key: b, master_secret: s,\n     partition_by: y}\n", []string{`line 2: start: "x"`, `line 4: partition_by: "y"`}},
		"an empty value":      {"apps:\n  - app_key:\n", []string{"line 2: app_key: it has no value"}},
		"a mapping":           {"apps:\n  - app_key: {a: b}\n", []string{"line 2: app_key: it has no value"}},
		"a list in a list":    {"apps:\n  - {app_key: a, streams: [[b]]}\n", []string{"line 2: streams: want a text"}},
		"a key with a colon":  {"apps:\n  - {app_key: 'a:b', master_secret: s}\n", []string{`line 2: app_key: "a:b" is no app key`}},
		"quotes in the value": {"apps:\n  - {app_key: \"'a'\", master_secret: s}\n", []string{"line 2: app_key: it"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := writeApps(t, c.text)
			file, _, err := NewAppsFile(common(path))
			if err != nil {
				t.Fatal(err)
			}
			_, err = file.Load()
			if err == nil || !asUsage(err) {
				t.Fatalf("it is %v", err)
			}
			for _, want := range append(c.want, "JMPUB_APPS_FILE: "+path) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error lacks %q:\n%v", want, err)
				}
			}
			if strings.Contains(err.Error(), "hush") {
				t.Errorf("the error has the secret:\n%v", err)
			}
		})
	}
}

// TestManyMistakesAreToldInPart stays readable.
func TestManyMistakesAreToldInPart(t *testing.T) {
	path := writeApps(t, "apps:\n"+strings.Repeat("  - app_key: a\n", 1000))
	file, _, err := NewAppsFile(common(path))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = file.Load(); err == nil || strings.Count(err.Error(), "\n") > maxErrors || !strings.Contains(err.Error(), "and 980 more") {
		t.Errorf("it says\n%v", err)
	}
}

// TestAppsFileOrAnApp refuses both, and tells of what is wrong with the common settings by itself.
func TestAppsFileOrAnApp(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Settings)
		want   string
	}{
		"a key":      {func(s *Settings) { s.AppKey = "a" }, "JMPUB_APP_KEY"},
		"a secret":   {func(s *Settings) { s.MasterSecret = secret.New("s") }, "must not be set"},
		"no brokers": {func(s *Settings) { s.Kafka.Brokers = "" }, "JMPUB_KAFKA_BROKERS is not set"},
	} {
		t.Run(name, func(t *testing.T) {
			s := common("apps.yaml")
			c.change(s)
			if _, _, err := NewAppsFile(s); err == nil || !asUsage(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("it is %v", err)
			}
		})
	}
}

// FuzzAppsFile accepts a file or refuses it with its path, shows no secret, and never has an app twice.
func FuzzAppsFile(f *testing.F) {
	f.Add("apps:\n- {app_key: a, master_secret: SECRETSECRET}\n")
	f.Add("apps: &x\n- {app_key: [a], streams: *x}\n")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "_file") {
			return // It may name any file.
		}
		path := writeApps(t, text)
		file, _, err := NewAppsFile(common(path))
		if err != nil {
			t.Fatal(err)
		}
		apps, err := file.Load()
		if err != nil && (!asUsage(err) || !strings.Contains(err.Error(), path)) {
			t.Errorf("it is %v", err)
		}
		keys := make(map[string]bool)
		for _, app := range apps {
			if keys[app.Source.AppKey] || app.Source.AppKey == "" {
				t.Errorf("the app %q is there twice, or has no key", app.Source.AppKey)
			}
			keys[app.Source.AppKey] = true
		}
	})
}

// TestSettingsOfAnApp finds one of several, and says what to choose from where none was chosen.
func TestSettingsOfAnApp(t *testing.T) {
	several := writeApps(t, "apps:\n- {app_key: first, master_secret: s}\n- {app_key: second, master_secret: s, start: wrong}\n- {app_key: third, master_secret: hush}\n")
	one := writeApps(t, "apps:\n- {app_key: first, master_secret: s}\n")
	for _, c := range []struct{ path, key, want, says string }{
		{several, "third", "third", ""},
		{several, "second", "second", ""},
		{several, "", "", "names 3 apps; say which one with --app: first, second, third"},
		{several, "another", "", "names no app \"another\""},
		{one, "", "first", ""},
		{"", "mine", "mine", ""},
		{"", "", "mine", ""},
		{"", "other", "", "there is no JMPUB_APPS_FILE"},
	} {
		s := common(c.path)
		if c.path == "" {
			s.AppKey = "mine"
		}
		app, err := s.OfApp(c.key)
		switch {
		case c.says != "":
			if err == nil || !asUsage(err) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%+v: %v", c, err)
			}
		case c.key == "second":
			if err == nil || !strings.Contains(err.Error(), "line 3: start") {
				t.Errorf("%+v: %v", c, err)
			}
		case err != nil || app.AppKey != c.want || app.AppsFile != "":
			t.Errorf("%+v: %+v, %v", c, app, err)
		}
	}
}
