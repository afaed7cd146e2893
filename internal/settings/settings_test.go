package settings

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/kelseyhightower/envconfig"

	"github.com/jmpub/jmpub/internal/secret"
)

// TestSettingNames holds the names that `jmpub config` shows against those that envconfig reads.
func TestSettingNames(t *testing.T) {
	s := &Settings{}
	var names []string
	for _, one := range s.List() {
		names = append(names, one.Name)
		t.Setenv(one.Name, "set by its name")
	}
	if err := envconfig.Process(envPrefix, s); err != nil {
		t.Fatal(err)
	}
	for _, one := range s.List() {
		if one.Value != "set by its name" && one.Value != secret.Mask {
			t.Errorf("%s is %q after it was set: envconfig knows it by another name", one.Name, one.Value)
		}
	}
	for _, want := range []string{
		"JMPUB_API_TIME_ZONE", "JMPUB_TOPIC_TEMPLATE", "JMPUB_SCHEMA_REGISTRY_URL", "JMPUB_SCHEMA_REGISTRY_CA_FILE", "JMPUB_KAFKA_TLS_CA_FILE", "JMPUB_KAFKA_SASL_PASSWORD_FILE", "JMPUB_TOPICS_PARTITIONS",
	} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is missing among %v", want, names)
		}
	}
}

// clearSettings has no setting set: what whoever runs the tests has set is no part of them.
func clearSettings(t *testing.T) {
	t.Helper()
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, envPrefix+"_") {
			t.Setenv(name, "")
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestVariablesOfServices expects Read to leave alone what Kubernetes puts into every container of a namespace that has a Service whose
// name begins with jmpub, and to refuse what only looks like it.
func TestVariablesOfServices(t *testing.T) {
	services := map[string]string{
		"JMPUB_SERVICE_HOST": "10.96.12.7", "JMPUB_SERVICE_PORT": "9464", "JMPUB_SERVICE_PORT_HTTP_METRICS": "9464",
		"JMPUB_PORT": "tcp://10.96.12.7:9464", "JMPUB_PORT_9464_TCP": "tcp://10.96.12.7:9464", "JMPUB_PORT_9464_TCP_PROTO": "tcp",
		"JMPUB_PORT_9464_TCP_PORT": "9464", "JMPUB_PORT_9464_TCP_ADDR": "10.96.12.7",
		"JMPUB_KAFKA_SERVICE_HOST": "fd00::1", "JMPUB_KAFKA_SERVICE_PORT": "9092", "JMPUB_KAFKA_PORT": "udp://[fd00::1]:9092",
		"JMPUB_KAFKA_PORT_9092_UDP": "udp://[fd00::1]:9092", "JMPUB_KAFKA_PORT_9092_UDP_ADDR": "fd00::1",
	}
	clearSettings(t)
	for name, value := range services {
		t.Setenv(name, value)
	}
	if _, err := Read(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ value, want string }{
		"JMPUB_PORT":                 {"9464", "JMPUB_PORT is no setting"},
		"JMPUB_KAFKA_SERVICE_HOST":   {"kafka-1", "JMPUB_KAFKA_SERVICE_HOST is no setting"},
		"JMPUB_API_SERVICE_HOST":     {"10.0.0.1", "JMPUB_API_SERVICE_HOST is no setting"},
		"JMPUB_LISTEN_PORT_9464_TCP": {"tcp://10.0.0.1:9464", "JMPUB_LISTEN_PORT_9464_TCP is no setting"},
		"JMPUB_SERVICE_PORTS":        {"9464", "JMPUB_SERVICE_PORTS is no setting"},
		"JMPUB_KAFKA_BROKER":         {"kafka:9092", "did you mean JMPUB_KAFKA_BROKERS?"},
		"jmpub_start":                {"7d", "jmpub_start is no setting of jmpub; did you mean JMPUB_START?"},
		"Jmpub_Kafka_Broker":         {"kafka:9092", "did you mean JMPUB_KAFKA_BROKERS?"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, c.value)
			if _, err := Read(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s=%s: %v, want %q", name, c.value, err, c.want)
			}
		})
	}
}
