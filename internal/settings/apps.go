package settings

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/jmpub/jmpub/internal/regular"
	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/internal/usage"
)

const (
	// maxAppsFile bounds the file of apps in bytes, maxApps the apps in it.
	maxAppsFile = 32 << 20
	maxApps     = 100_000
	// maxErrors is how many mistakes of the file are told at once.
	maxErrors = 20
)

// AppsFile is the file that JMPUB_APPS_FILE names: the apps that one process publishes. What an app does not say there, the
// environment says for all. It is used by one goroutine at a time.
type AppsFile struct {
	common *Settings
	// config is that of the common settings, known are the apps by their keys as they were loaded last.
	config *Config
	known  map[string]knownApp
}

type knownApp struct {
	settings *Settings
	config   *Config
}

// standIn is in the place of an app where settings are checked that are common to all.
const standIn = "app"

// NewAppsFile is the file that settings name; nothing is read of it yet. The configuration is what all apps have in common; it has no app.
func NewAppsFile(s *Settings) (*AppsFile, *Config, error) {
	if s.AppKey != "" || !s.MasterSecret.IsEmpty() {
		return nil, nil, usage.Errorf("JMPUB_APPS_FILE names the apps, so JMPUB_APP_KEY, JMPUB_MASTER_SECRET and JMPUB_MASTER_SECRET_FILE must not be set")
	}
	common := *s
	common.AppsFile = ""
	checked := common
	checked.AppKey, checked.MasterSecret = standIn, secret.New(standIn)
	config, err := checked.Parse()
	if err != nil {
		return nil, nil, err
	}
	config.Source.AppKey, config.Topics.AppKey, config.Source.MasterSecret = "", "", secret.Secret{}
	if detail := regular.Exposed(s.AppsFile); detail != "" {
		config.Warnings = append(config.Warnings, exposed("JMPUB_APPS_FILE", detail))
	}
	common.AppsFile = s.AppsFile
	return &AppsFile{common: &common, config: config}, config, nil
}

// Path is where the file is.
func (f *AppsFile) Path() string { return f.common.AppsFile }

// Load reads the file, and the files of secrets that it names. An app of which nothing has changed since the last call that succeeded has the
// same configuration, the same pointer. Mistakes are told with their lines, several at once, and change nothing.
func (f *AppsFile) Load() ([]*Config, error) {
	entries, errs := f.read()
	var apps []*Config
	known := make(map[string]knownApp, len(entries))
	lines := make(map[string]int, len(entries))
	for _, entry := range entries {
		app, mistakes := f.load(entry)
		if len(mistakes) > 0 {
			errs = append(errs, mistakes...)
			continue
		}
		if line, again := lines[app.settings.AppKey]; again {
			errs = append(errs, fmt.Errorf("line %d: the app %s is in line %d already", entry.line, app.settings.AppKey, line))
			continue
		}
		lines[app.settings.AppKey], known[app.settings.AppKey] = entry.line, app
		apps = append(apps, app.config)
	}
	if len(errs) > maxErrors {
		errs = append(errs[:maxErrors], fmt.Errorf("and %d more", len(errs)-maxErrors))
	}
	if len(errs) > 0 {
		return nil, f.mistake(errs...)
	}
	f.known = known
	return apps, nil
}

// OfApp are the settings of one of the apps, whatever is wrong with the others. An empty key means the only one there is, and is that of
// settings without a file.
func (s *Settings) OfApp(key string) (*Settings, error) {
	if s.AppsFile == "" {
		if key != "" && key != s.AppKey {
			return nil, usage.Errorf("--app: %q is not the app of JMPUB_APP_KEY, and there is no JMPUB_APPS_FILE", key)
		}
		return s, nil
	}
	f, _, err := NewAppsFile(s)
	if err != nil {
		return nil, err
	}
	entries, errs := f.read()
	var keys []string
	for _, e := range entries {
		own := e.values[keyField].text
		if keys = append(keys, own); own == key || key == "" && len(entries) == 1 {
			app, wrong := f.load(e)
			if len(wrong) > 0 {
				return nil, f.mistake(wrong...)
			}
			return app.settings, nil
		}
	}
	if len(errs) > 0 {
		return nil, f.mistake(errs...)
	}
	if key != "" {
		return nil, usage.Errorf("--app: %s names no app %q", f.Path(), key)
	}
	const most = 10
	names := strings.Join(keys[:min(len(keys), most)], ", ")
	if len(keys) > most {
		names += ", ..."
	}
	return nil, usage.Errorf("JMPUB_APPS_FILE names %d apps; say which one with --app: %s", len(keys), names)
}

// Keys are the apps that the file names, as far as it can be read.
func (f *AppsFile) Keys() []string {
	entries, _ := f.read() // Whoever wants more calls Load.
	var keys []string
	for _, e := range entries {
		keys = append(keys, e.values[keyField].text)
	}
	return keys
}

// AppName is an app of the file, and the prefix of the topics that it is published to.
type AppName struct{ AppKey, TopicPrefix string }

// Names are the apps that the file names, as far as it can be read.
func (f *AppsFile) Names() []AppName {
	entries, _ := f.read() // As above.
	var names []AppName
	for _, e := range entries {
		names = append(names, AppName{e.values[keyField].text, cmp.Or(e.values[prefixField].text, f.common.TopicPrefix)})
	}
	return names
}

// Shared is what all processes with these settings have in common, and the file of their apps; nil where they name one app.
func (s *Settings) Shared() (*AppsFile, *Config, error) {
	if s.AppsFile == "" {
		cfg, err := s.Parse()
		return nil, cfg, err
	}
	return NewAppsFile(s)
}

func (f *AppsFile) mistake(errs ...error) error {
	for i, err := range errs {
		errs[i] = fmt.Errorf("JMPUB_APPS_FILE: %s: %w", f.Path(), err)
	}
	return usage.Wrap(errors.Join(errs...))
}

// read reads the file's entries, as they stand.
func (f *AppsFile) read() (entries []*appEntry, errs []error) {
	list, err := f.list()
	if err != nil {
		return nil, []error{err}
	}
	for _, node := range list.Content {
		if entry, err := newAppEntry(node); err != nil {
			errs = append(errs, err)
		} else {
			entries = append(entries, entry)
		}
	}
	return entries, errs
}

// list is the list of apps, which is not empty.
func (f *AppsFile) list() (*yaml.Node, error) {
	text, err := regular.Read(f.Path(), maxAppsFile)
	if err != nil {
		return nil, errors.Unwrap(err) // The path is told anyway.
	}
	var document yaml.Node
	if err = yaml.Unmarshal(text, &document); err != nil {
		if strings.Contains(err.Error(), "unknown anchor") { // Its name may be a secret.
			return nil, errors.New("a value begins with * and is no alias of another one; put it into quotes")
		}
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	var list *yaml.Node
	if len(document.Content) > 0 {
		if list, err = onlyApps(document.Content[0]); err != nil {
			return nil, err
		}
	}
	if list == nil || len(list.Content) == 0 {
		return nil, errors.New("it names no app; want a list under `apps:`")
	}
	if len(list.Content) > maxApps {
		return nil, fmt.Errorf("it names more than %d apps", maxApps)
	}
	return list, nil
}

// onlyApps is the list under `apps`, which is all that the file has.
func onlyApps(root *yaml.Node) (list *yaml.Node, err error) {
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: want a list under `apps:`", root.Line)
	}
	for key, value := range pairs(root) {
		if key.Value != "apps" {
			return nil, fmt.Errorf("line %d: %s is unknown; want `apps:` alone", key.Line, nameOf(key))
		}
		if value.Kind != yaml.SequenceNode || list != nil {
			return nil, fmt.Errorf("line %d: want one list of apps", value.Line)
		}
		list = value
	}
	return list, nil
}

// pairs are the keys and values of a mapping.
func pairs(mapping *yaml.Node) func(yield func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		for i := 0; i+1 < len(mapping.Content); i += 2 {
			value := mapping.Content[i+1]
			if value.Kind == yaml.AliasNode {
				value = value.Alias
			}
			if !yield(mapping.Content[i], value) {
				return
			}
		}
	}
}

// nameOf is a key for people. What does not look like one is not repeated: it may be a secret that lacks its own.
func nameOf(key *yaml.Node) string {
	const letters, longest = "abcdefghijklmnopqrstuvwxyz_-", 24
	if len(key.Value) > longest || strings.Trim(strings.ToLower(key.Value), letters) != "" {
		return "a key"
	}
	return strconv.Quote(key.Value)
}

// appField is what an app may say of itself: in the file, as a setting, and where it is kept.
type appField struct {
	name, setting string
	of            func(*Settings) *string
}

// appFields stand in the order of the documents; the secret, which is no text, is apart.
func appFields() []appField {
	return []appField{
		{keyField, "JMPUB_APP_KEY", func(s *Settings) *string { return &s.AppKey }},
		{"master_secret_file", "JMPUB_MASTER_SECRET_FILE", func(s *Settings) *string { return &s.MasterSecretFile }},
		{"streams", "JMPUB_STREAMS", func(s *Settings) *string { return &s.Streams }},
		{"start", "JMPUB_START", func(s *Settings) *string { return &s.Start }},
		{"rate", "JMPUB_API_RATE", func(s *Settings) *string { return &s.API.Rate }},
		{"time_zone", "JMPUB_API_TIME_ZONE", func(s *Settings) *string { return &s.API.TimeZone }},
		{prefixField, "JMPUB_TOPIC_PREFIX", func(s *Settings) *string { return &s.TopicPrefix }},
		{"partition_by", "JMPUB_PARTITION_BY", func(s *Settings) *string { return &s.PartitionBy }},
		{secretField, "JMPUB_MASTER_SECRET", nil},
	}
}

const (
	keyField    = "app_key"
	secretField = "master_secret"
	prefixField = "topic_prefix"
)

// appEntry is an app as it stands in the file.
type appEntry struct {
	line   int
	values map[string]appValue
}

type appValue struct {
	text string
	line int
}

func newAppEntry(node *yaml.Node) (*appEntry, error) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: want an app, `- app_key: ...` and what else it says", node.Line)
	}
	e := &appEntry{line: node.Line, values: make(map[string]appValue)}
	var names []string
	for _, field := range appFields() {
		names = append(names, field.name)
	}
	for key, value := range pairs(node) {
		if !slices.Contains(names, key.Value) {
			return nil, fmt.Errorf("line %d: %s is unknown%s; want any of %s",
				key.Line, nameOf(key), usage.Suggest(key.Value, names), strings.Join(names, ", "))
		}
		if _, again := e.values[key.Value]; again {
			return nil, fmt.Errorf("line %d: %s is there twice", key.Line, key.Value)
		}
		text, err := textOf(value)
		if err != nil {
			return nil, fmt.Errorf("line %d: %s: %w", key.Line, key.Value, err)
		}
		e.values[key.Value] = appValue{text, key.Line}
	}
	return e, nil
}

// textOf is a value as the environment would have it: as it is written, a list with commas.
func textOf(value *yaml.Node) (string, error) {
	switch {
	case value.Kind == yaml.ScalarNode && value.Tag != "!!null" && value.Value != "":
		return value.Value, cmp.Or(wrong(invisible(value.Value)), wrong(surrounded(value.Value)))
	case value.Kind == yaml.SequenceNode && len(value.Content) > 0:
		var items []string
		for _, item := range value.Content {
			text, err := textOf(item)
			if err != nil || item.Kind != yaml.ScalarNode {
				return "", cmp.Or(err, errors.New("want a text, or a list of them"))
			}
			items = append(items, text)
		}
		return strings.Join(items, ","), nil
	default:
		return "", errors.New("it has no value; leave it out, or give it one")
	}
}

// wrong makes an error of what is wrong with a value, nil of nothing.
func wrong(what string) error {
	if what == "" {
		return nil
	}
	return errors.New("it " + what)
}

// load makes the settings of an app and checks them.
func (f *AppsFile) load(e *appEntry) (knownApp, []error) {
	s := *f.common
	s.AppsFile = ""
	for _, field := range appFields() {
		if v, given := e.values[field.name]; given && field.of != nil {
			*field.of(&s) = v.text
		}
	}
	if v, given := e.values[secretField]; given {
		s.MasterSecret = secret.New(v.text)
	}
	if path := s.MasterSecretFile; path != "" && !filepath.IsAbs(path) {
		s.MasterSecretFile = filepath.Join(filepath.Dir(f.Path()), path)
	}
	if err := fromFile(&s.MasterSecret, "JMPUB_MASTER_SECRET", s.MasterSecretFile, surrounded); err != nil {
		return knownApp{}, e.mistakes(err)
	}
	if known, there := f.known[s.AppKey]; there && known.settings.same(&s) {
		return known, nil
	}
	config, err := s.Parse()
	if err != nil {
		return knownApp{}, e.mistakes(err)
	}
	config.Sink.Schemas = f.config.Sink.Schemas
	config.Warnings = slices.DeleteFunc(config.Warnings, func(w Warning) bool { return w.Setting != "JMPUB_MASTER_SECRET_FILE" })
	return knownApp{&s, config}, nil
}

// mistakes are the mistakes of an app's settings, by the fields that they stand in and their lines.
func (e *appEntry) mistakes(err error) []error {
	all := []error{err}
	if wrapped := errors.Unwrap(err); wrapped != nil {
		all = []error{wrapped}
		if joined, ok := reflect.TypeAssert[interface{ Unwrap() []error }](reflect.ValueOf(wrapped)); ok {
			all = joined.Unwrap()
		}
	}
	errs := make([]error, 0, len(all))
	for _, one := range all {
		line, text := e.line, one.Error()
		for _, field := range appFields() {
			if v, given := e.values[field.name]; given && strings.HasPrefix(text, field.setting) {
				line = v.line
			}
			text = strings.ReplaceAll(text, field.setting, field.name)
		}
		errs = append(errs, fmt.Errorf("line %d: %s", line, text))
	}
	return errs
}

// same tells whether two settings say the same.
func (s *Settings) same(other *Settings) bool {
	texts := func(s *Settings) []string {
		var all []string
		s.fields(func(_, _ string, field reflect.Value) {
			text := field.String()
			if hidden, ok := reflect.TypeAssert[secret.Secret](field); ok {
				text = hidden.Reveal()
			}
			all = append(all, text)
		})
		return all
	}
	return slices.Equal(texts(s), texts(other))
}

// Check finds what is unsafe about the settings, or wrong: those of an app, or those of a file with all of its apps.
func (s *Settings) Check() ([]Warning, error) {
	if s.AppsFile == "" {
		cfg, err := s.Parse()
		return cfg.Warnings, err
	}
	f, cfg, err := NewAppsFile(s)
	if err != nil {
		return nil, err
	}
	apps, err := f.Load()
	warnings := cfg.Warnings
	for _, app := range apps {
		warnings = append(warnings, app.Warnings...)
	}
	return warnings, err
}
