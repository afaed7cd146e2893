package settings

import (
	"net"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/internal/regular"
)

// warnings are what others could do because of the settings. That requests to the API are not encrypted is told by its client.
func (s *Settings) warnings(c *Config) []Warning {
	all := exceptions()
	s.fields(func(name, _ string, field reflect.Value) {
		if !strings.HasSuffix(name, "_FILE") || field.String() == "" {
			return
		}
		if detail := regular.Exposed(field.String()); detail != "" {
			all = append(all, exposed(name, detail))
		}
	})
	remote := func(broker string) bool {
		host, _, err := net.SplitHostPort(broker)
		return err == nil && !isLoopback(host)
	}
	if c.Kafka.Mechanism == kafka.Plain && !c.Kafka.TLS && slices.ContainsFunc(c.Kafka.Brokers, remote) {
		all = append(all, Warning{
			"JMPUB_KAFKA_SASL", "plain without TLS sends the password as it is: it can be read on the way",
			"set JMPUB_KAFKA_TLS=on and name the brokers' ports for TLS, or use scram-sha-512",
		})
	}
	if len(c.Admins) > 0 && c.ListenCert == "" && c.Listen != "off" && remote(c.Listen) {
		all = append(all, Warning{
			"JMPUB_ADMIN_TOKEN", "tokens come to " + c.Listen + " as they are: they can be read on the way",
			"name a certificate with JMPUB_LISTEN_TLS_CERT_FILE and JMPUB_LISTEN_TLS_KEY_FILE, or listen on 127.0.0.1",
		})
	}
	if r := &s.SchemaRegistry; c.Sink.Schemas != nil && !r.Password.IsEmpty() && isPlainText(r.URL) {
		all = append(all, Warning{
			"JMPUB_SCHEMA_REGISTRY_URL", "requests to the schema registry are not encrypted: its password can be read on the way",
			"use an https address",
		})
	}
	return all
}

// exposed warns of a file that others can change.
func exposed(setting, detail string) Warning {
	return Warning{setting, detail, "take the right to write from group and others (chmod go-w), there and of the folder"}
}

// isLoopback tells whether a host is this machine, and nothing in between.
func isLoopback(host string) bool { return host == "localhost" || net.ParseIP(host).IsLoopback() }

// isPlainText tells whether an address leads over a network without TLS.
func isPlainText(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "http" && !isLoopback(u.Hostname())
}
