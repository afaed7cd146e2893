// Package connect_test holds the configurations for Kafka Connect against what jmpub asks of its consumers.
package connect_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// configs are the connectors of this folder, by file.
func configs(t *testing.T) map[string]map[string]string {
	t.Helper()
	files, err := filepath.Glob("*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no configurations: %v", err)
	}
	all := make(map[string]map[string]string)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		config := make(map[string]string)
		if err := json.Unmarshal(text, &config); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[file] = config
	}
	return all
}

// TestConfigurationsLoseNothing holds each connector to what keeps events whole: none of an aborted transaction, all from the
// beginning, none dropped in silence, no secret in the file.
func TestConfigurationsLoseNothing(t *testing.T) {
	for file, config := range configs(t) {
		for key, want := range map[string]string{
			"consumer.override.isolation.level":   "read_committed",
			"consumer.override.auto.offset.reset": "earliest",
			"topics":                              "jmessage.single,jmessage.group,jmessage.chatroom,jmessage.other",
			"errors.deadletterqueue.topic.name":   "jmessage.connect.dead",
			"errors.tolerance":                    "all",
			"key.converter":                       "org.apache.kafka.connect.storage.StringConverter",
		} {
			if config[key] != want {
				t.Errorf("%s: %s is %q, want %q", file, key, config[key], want)
			}
		}
		if config["value.converter"] == "" {
			t.Errorf("%s names no converter of values, so the worker's would count", file)
		}
		for key, value := range config {
			if strings.Contains(key, "secret") && !strings.HasPrefix(value, "${env:") {
				t.Errorf("%s: %s stands in the file", file, key)
			}
		}
	}
}

// TestConnectorsOfIceberg: each needs a control topic of its own, and must read it from the beginning. By its default it would
// lose what was written before its first commit, when the worker is killed just then.
func TestConnectorsOfIceberg(t *testing.T) {
	seen := make(map[string]string)
	for file, config := range configs(t) {
		topic, ok := config["iceberg.control.topic"]
		if !ok {
			continue
		}
		if other, taken := seen[topic]; taken {
			t.Errorf("%s and %s share the control topic %s", file, other, topic)
		}
		seen[topic] = file
		if reset := config["iceberg.kafka.auto.offset.reset"]; reset != "earliest" {
			t.Errorf("%s: iceberg.kafka.auto.offset.reset is %q, want earliest", file, reset)
		}
	}
	if len(seen) != 2 {
		t.Errorf("%d connectors have a control topic, want 2", len(seen))
	}
}
