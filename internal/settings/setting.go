package settings

import (
	"os"
	"reflect"

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
		value, set := os.LookupEnv(name)
		entry.Set = set && value != ""
		list = append(list, entry)
	})
	return list
}
