// Package settings reads the environment and makes a validated configuration of it. Nothing else reads the environment.
package settings

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/kelseyhightower/envconfig"

	"github.com/jmpub/jmpub/internal/regular"
	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/internal/usage"
)

// envPrefix begins the name of every setting.
const envPrefix = "JMPUB"

// Settings are the environment variables as they stand, all of them text: they are parsed afterwards, so that every
// mistake is reported at once and in jmpub's words. The variable's name is the field's path in upper case,
// JMPUB_KAFKA_TLS_CA_FILE for Kafka.TLSCaFile. No field has an explicit name, because envconfig would then also read the
// variable without the prefix.
type Settings struct {
	AppKey           string        `split_words:"true"`
	MasterSecret     secret.Secret `split_words:"true"`
	MasterSecretFile string        `split_words:"true"`
	// AppsFile names several apps instead of one; see [AppsFile].
	AppsFile string `split_words:"true"`
	Streams  string `split_words:"true" default:"messages"`
	Start    string `split_words:"true" default:"60d"`
	API      struct {
		URL      string `split_words:"true" default:"https://report.im.jpush.cn/v2"`
		TimeZone string `split_words:"true" default:"Asia/Shanghai"`
		Rate     string `split_words:"true" default:"600/m"`
		PageSize string `split_words:"true" default:"1000"`
		Parallel string `split_words:"true" default:"4"`
		GiveUp   string `split_words:"true" default:"30m"`
	}
	// IM is the API that lists users, groups and chat rooms.
	IM struct {
		URL string `split_words:"true" default:"https://api.im.jpush.cn/v1"`
	}
	Discovery struct {
		Every string `split_words:"true" default:"10m"`
		Max   string `split_words:"true" default:"5000"`
	}
	Statistics struct {
		Units string `split_words:"true" default:"hour,day,month"`
		Every string `split_words:"true" default:"10m"`
	}
	Poll string `split_words:"true" default:"2s"`
	// PollIdle is how often a stream is asked at least that has been silent for long.
	PollIdle string `split_words:"true" default:"10s"`
	Settle   string `split_words:"true" default:"5s"`
	Overlap  string `split_words:"true" default:"2s"`
	Recheck  string `split_words:"true" default:"10m,24h"`
	Catchup  string `split_words:"true" default:"ordered"`
	// Publish is when rows at the head are published: when they are first seen, or once they have settled.
	Publish string `split_words:"true" default:"early"`
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
		Shards            string `split_words:"true" default:"12"`
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
	ListenHosts string `split_words:"true"`
	// ListenTLSCertFile and ListenTLSKeyFile have the status page answer over TLS.
	ListenTLSCertFile string `split_words:"true"`
	ListenTLSKeyFile  string `split_words:"true"`
	// Admin are those who may change something through the API.
	Admin struct {
		Token     secret.Secret `split_words:"true"`
		TokenFile string        `split_words:"true"`
	}
	Log       string `split_words:"true" default:"info"`
	LogFormat string `split_words:"true"`
}

// Read reads the environment. A variable that begins with JMPUB_, in capitals or not, and is no setting is an error: it is a misspelt
// one, unless Kubernetes has made it. A setting that is set to nothing has its default.
func Read() (*Settings, error) {
	s := &Settings{}
	if err := envconfig.Process(envPrefix, s); err != nil {
		return nil, usage.Errorf("read the environment: %w", err)
	}
	var known []string
	s.fields(func(name, _ string, _ reflect.Value) { known = append(known, name) })
	var errs []error
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		ours := strings.HasPrefix(strings.ToUpper(name), envPrefix+"_")
		if ours && !slices.Contains(known, name) && !isOfService(entry) {
			errs = append(errs, fmt.Errorf("%s is no setting of jmpub%s; see `jmpub config`", name, usage.Suggest(name, known)))
		}
		if slices.Contains(known, name) {
			if wrong := cmp.Or(invisible(value), surrounded(value)); wrong != "" {
				errs = append(errs, fmt.Errorf("%s %s", name, wrong))
			}
		}
	}
	if len(errs) > 0 {
		return nil, usage.Wrap(errors.Join(errs...))
	}
	s.fillDefaults()
	return s, errors.Join(
		fromFile(&s.MasterSecret, "JMPUB_MASTER_SECRET", s.MasterSecretFile, surrounded), // JMessage has none that look so.
		fromFile(&s.Kafka.SASLPassword, "JMPUB_KAFKA_SASL_PASSWORD", s.Kafka.SASLPasswordFile, anything),
		fromFile(&s.SchemaRegistry.Password, "JMPUB_SCHEMA_REGISTRY_PASSWORD", s.SchemaRegistry.PasswordFile, anything),
		s.readAdmin(),
	)
}

// anything finds nothing wrong with a value.
func anything(string) string { return "" }

// maxSecret is the most that a secret's file may hold.
const maxSecret = 64 << 10

// fromFile reads a secret from the file that the setting's _FILE twin names. A byte order mark and the end of the line do not belong
// to it; check says what else may be wrong with it.
func fromFile(value *secret.Secret, name, path string, check func(string) string) error {
	if path == "" {
		return nil
	}
	if !value.IsEmpty() {
		return usage.Errorf("%s and %s_FILE are both set; keep one", name, name)
	}
	data, err := regular.Read(path, maxSecret)
	if err != nil {
		return usage.Errorf("%s_FILE: %w", name, err)
	}
	text := strings.TrimRight(strings.TrimPrefix(string(data), byteOrderMark), "\r\n")
	if wrong := cmp.Or(invisible(text), check(text)); wrong != "" {
		return usage.Errorf("%s_FILE: what the file %s holds %s", name, path, wrong)
	}
	*value = secret.New(text)
	if value.IsEmpty() {
		return usage.Errorf("%s_FILE: the file %s is empty", name, path)
	}
	return nil
}

func (s *Settings) fillDefaults() {
	s.fields(func(_, def string, field reflect.Value) {
		if field.Kind() == reflect.String && field.String() == "" {
			field.SetString(def)
		}
	})
}

// Defaults are the settings of an environment that has none of them.
func Defaults() *Settings {
	s := &Settings{}
	s.fillDefaults()
	return s
}
