package main

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/kelseyhightower/envconfig"

	"github.com/jmpub/jmpub/internal/secret"
)

// envPrefix begins the name of every setting.
const envPrefix = "JMPUB"

// settings are the environment variables as they stand, all of them text: they are parsed afterwards, so that every
// mistake is reported at once and in jmpub's words. The variable's name is the field's path in upper case,
// JMPUB_KAFKA_TLS_CA_FILE for Kafka.TLSCaFile. No field has an explicit name, because envconfig would then also read the
// variable without the prefix.
type settings struct {
	AppKey           string        `split_words:"true"`
	MasterSecret     secret.Secret `split_words:"true"`
	MasterSecretFile string        `split_words:"true"`
	Streams          string        `split_words:"true" default:"messages"`
	Start            string        `split_words:"true" default:"60d"`
	API              struct {
		URL      string `split_words:"true" default:"https://report.im.jpush.cn/v2"`
		TimeZone string `split_words:"true" default:"Asia/Shanghai"`
		Rate     string `split_words:"true" default:"600/m"`
		PageSize string `split_words:"true" default:"1000"`
		Parallel string `split_words:"true" default:"4"`
	}
	// IM is the API that lists users, groups and chat rooms.
	IM struct {
		URL string `split_words:"true" default:"https://api.im.jpush.cn/v1"`
	}
	Discovery struct {
		Every string `split_words:"true" default:"10m"`
	}
	Statistics struct {
		Units string `split_words:"true" default:"hour,day,month"`
		Every string `split_words:"true" default:"10m"`
	}
	Poll    string `split_words:"true" default:"2s"`
	Settle  string `split_words:"true" default:"5s"`
	Overlap string `split_words:"true" default:"2s"`
	Recheck string `split_words:"true" default:"10m,24h"`
	Catchup string `split_words:"true" default:"ordered"`
	// RetentionWarn is how near the end of the API's history unread time may come before the log says so.
	RetentionWarn string `split_words:"true" default:"7d"`
	Kafka         struct {
		Brokers          string        `split_words:"true"`
		TLS              string        `split_words:"true" default:"off"`
		TLSCaFile        string        `split_words:"true"`
		TLSCertFile      string        `split_words:"true"`
		TLSKeyFile       string        `split_words:"true"`
		SASL             string        `split_words:"true"`
		SASLUsername     string        `split_words:"true"`
		SASLPassword     secret.Secret `split_words:"true"`
		SASLPasswordFile string        `split_words:"true"`
		Compression      string        `split_words:"true" default:"zstd"`
		// TransactionTimeout is given to the broker with the transactional id.
		TransactionTimeout string `split_words:"true" default:"3m"`
	}
	TopicPrefix string `split_words:"true" default:"jmessage"`
	// TopicTemplate names the event topics.
	TopicTemplate string `split_words:"true" default:"{prefix}.{target_type}"`
	Topics        struct {
		Create            string `split_words:"true" default:"true"`
		Partitions        string `split_words:"true" default:"6"`
		Replication       string `split_words:"true" default:"-1"`
		Retention         string `split_words:"true" default:"-1"`
		MinInsyncReplicas string `split_words:"true" default:"-1"`
	}
	EventFormat    string `split_words:"true" default:"json"`
	SchemaRegistry struct {
		URL          string        `split_words:"true"`
		Username     string        `split_words:"true"`
		Password     secret.Secret `split_words:"true"`
		PasswordFile string        `split_words:"true"`
		CaFile       string        `split_words:"true"`
		Register     string        `split_words:"true" default:"true"`
	} `split_words:"true"`
	PartitionBy string `split_words:"true" default:"msgid"`
	RecordTime  string `split_words:"true" default:"publish"`
	Checkpoint  string `split_words:"true" default:"kafka"`
	Group       string `split_words:"true" default:"jmpub"`
	Listen      string `split_words:"true" default:"127.0.0.1:9464"`
	Log         string `split_words:"true" default:"info"`
	LogFormat   string `split_words:"true"`
}

// setting is one variable with its effective text, for `jmpub config`.
type setting struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	Default string `json:"default,omitempty"`
	// Set tells that the environment has it.
	Set bool `json:"set"`
}

// usageError is a mistake of whoever called jmpub: exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// readSettings reads the environment. A variable that begins with JMPUB_ and is no setting is an error: it is a misspelt
// one. A setting that is set to nothing has its default.
func readSettings() (*settings, error) {
	s := &settings{}
	if err := envconfig.Process(envPrefix, s); err != nil {
		return nil, usage("read the environment: %w", err)
	}
	known := s.list()
	var errs []error
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, envPrefix+"_") && !isKnown(known, name) {
			errs = append(errs, fmt.Errorf("%s is no setting of jmpub%s; see `jmpub config`", name, suggest(known, name)))
		}
	}
	if len(errs) > 0 {
		return nil, usageError{errors.Join(errs...)}
	}
	s.fillDefaults()
	return s, errors.Join(
		fromFile(&s.MasterSecret, "JMPUB_MASTER_SECRET", s.MasterSecretFile),
		fromFile(&s.Kafka.SASLPassword, "JMPUB_KAFKA_SASL_PASSWORD", s.Kafka.SASLPasswordFile),
		fromFile(&s.SchemaRegistry.Password, "JMPUB_SCHEMA_REGISTRY_PASSWORD", s.SchemaRegistry.PasswordFile),
	)
}

// fromFile reads a secret from the file that the setting's _FILE twin names.
func fromFile(value *secret.Secret, name, path string) error {
	if path == "" {
		return nil
	}
	if !value.IsEmpty() {
		return usage("%s and %s_FILE are both set; keep one", name, name)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return usage("%s_FILE: %w", name, err)
	}
	*value = secret.New(strings.TrimRight(string(data), "\r\n"))
	if value.IsEmpty() {
		return usage("%s_FILE: the file %s is empty", name, path)
	}
	return nil
}

// fields calls fn with each setting's name, default and text.
func (s *settings) fields(fn func(name, def string, field reflect.Value)) {
	var walk func(prefix string, v reflect.Value)
	walk = func(prefix string, v reflect.Value) {
		for i := range v.NumField() {
			name := prefix + "_" + envName(v.Type().Field(i).Name)
			if v.Field(i).Kind() == reflect.Struct && v.Field(i).Type() != reflect.TypeFor[secret.Secret]() {
				walk(name, v.Field(i))
				continue
			}
			fn(name, v.Type().Field(i).Tag.Get("default"), v.Field(i))
		}
	}
	walk(envPrefix, reflect.ValueOf(s).Elem())
}

// envName splits a field's name as envconfig does: SASLPasswordFile is SASL_PASSWORD_FILE.
func envName(field string) string {
	var b strings.Builder
	upper := func(c byte) bool { return 'A' <= c && c <= 'Z' }
	for i := range len(field) {
		begins := i > 0 && upper(field[i]) && (!upper(field[i-1]) || i+1 < len(field) && !upper(field[i+1]))
		if begins {
			b.WriteByte('_')
		}
		b.WriteByte(field[i])
	}
	return strings.ToUpper(b.String())
}

func (s *settings) fillDefaults() {
	s.fields(func(_, def string, field reflect.Value) {
		if field.Kind() == reflect.String && field.String() == "" {
			field.SetString(def)
		}
	})
}

// list is every setting in the order of the documents, secrets masked.
func (s *settings) list() []setting {
	var list []setting
	s.fields(func(name, def string, field reflect.Value) {
		entry := setting{Name: name, Default: def, Value: field.String()}
		if hidden, ok := reflect.TypeAssert[secret.Secret](field); ok {
			entry.Value = hidden.String()
		}
		value, set := os.LookupEnv(name)
		entry.Set = set && value != ""
		list = append(list, entry)
	})
	return list
}

func isKnown(known []setting, name string) bool {
	for _, s := range known {
		if s.Name == name {
			return true
		}
	}
	return false
}

// suggest names the setting that a misspelt one is closest to, if any is close.
func suggest(known []setting, name string) string {
	best, distance := "", 4
	for _, s := range known {
		if d := editDistance(s.Name, name); d < distance {
			best, distance = s.Name, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// editDistance is the Levenshtein distance between two names.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
