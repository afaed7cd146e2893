package settings

import (
	"os"
	"reflect"
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
