package settings

import (
	"slices"
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
