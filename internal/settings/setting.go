package settings

import (
	"os"
	"reflect"
	"regexp"
	"strings"

	"github.com/jmpub/jmpub/internal/secret"
)

// Setting is one variable with its effective text, for `jmpub config`.
type Setting struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	Default string `json:"default,omitempty"`
	// Set tells that the environment has it.
	Set bool `json:"set"`
}

// List is every setting in the order of the documents, secrets masked.
func (s *Settings) List() []Setting {
	var list []Setting
	s.fields(func(name, def string, field reflect.Value) {
		entry := Setting{Name: name, Default: def, Value: field.String()}
		if hidden, ok := reflect.TypeAssert[secret.Secret](field); ok {
			entry.Value = hidden.String()
		}
		value, _ := os.LookupEnv(name)
		entry.Set = value != ""
		list = append(list, entry)
	})
	return list
}

// fields calls fn with each setting's name, default and text.
func (s *Settings) fields(fn func(name, def string, field reflect.Value)) {
	var walk func(prefix string, v reflect.Value)
	walk = func(prefix string, v reflect.Value) {
		for field, value := range v.Fields() {
			name := prefix + "_" + envName(field.Name)
			if value.Kind() == reflect.Struct && field.Type != reflect.TypeFor[secret.Secret]() {
				walk(name, value)
			} else {
				fn(name, field.Tag.Get("default"), value)
			}
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

// isOfService tells whether a variable is one of those by which Kubernetes tells every container of a Service, one whose name begins
// with jmpub: JMPUB_SERVICE_HOST, JMPUB_PORT_9464_TCP_ADDR. It goes by name and value, and by whether the Service's address is there.
func isOfService(entry string) bool {
	const address, number, url = `=[0-9a-fA-F.:]+`, `=[0-9]+`, `=(tcp|udp|sctp)://[^/]+:[0-9]+`
	const port = `PORT_[0-9]+_(TCP|UDP|SCTP)`
	of := regexp.MustCompile(`^(` + envPrefix + `(_[A-Z0-9_]+?)?)_(` + strings.Join([]string{
		`SERVICE_HOST` + address, `SERVICE_PORT(_[A-Z0-9_]+)?` + number, `PORT` + url,
		port + url, port + `_PROTO=(tcp|udp|sctp)`, port + `_PORT` + number, port + `_ADDR` + address,
	}, "|") + `)$`).FindStringSubmatch(entry)
	if of == nil {
		return false
	}
	_, host := os.LookupEnv(of[1] + "_SERVICE_HOST")
	_, first := os.LookupEnv(of[1] + "_SERVICE_PORT")
	return host && first
}
