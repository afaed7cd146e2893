//go:build integration

package registry_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/jmpub/jmpub/docs/schemas"
	"github.com/jmpub/jmpub/internal/registry"
	"github.com/jmpub/jmpub/internal/tests/avrotest"
	"github.com/jmpub/jmpub/pipeline"
)

const subject = "jmessage.group-value"

// TestOnApicurioRegistry repeats on a real registry what is proved on the embedded one: it takes the schema, finds it again,
// refuses what its rule does not allow, and what it answers is read as what it is.
func TestOnApicurioRegistry(t *testing.T) {
	address := avrotest.StartApicurio(t)
	lookUp := newClient(t, registry.Config{URL: address})
	refused(t, lookUp, schemas.MessageAvro, "message.avsc")

	id, err := newClient(t, registry.Config{URL: address, Register: true}).ID(t.Context(), subject, schemas.MessageAvro)
	if err != nil {
		t.Fatal(err)
	}
	for _, register := range []bool{false, true} { // Others, which remember nothing.
		again, err := newClient(t, registry.Config{URL: address, Register: register}).ID(t.Context(), subject, schemas.MessageAvro)
		if err != nil || again != id {
			t.Errorf("register %t: the id is %d, it was %d; %v", register, again, id, err)
		}
	}
	refused(t, lookUp, schema, "message.avsc")

	put(t, address+"/config/"+subject, map[string]string{"compatibility": "FULL_TRANSITIVE"})
	register := newClient(t, registry.Config{URL: address, Register: true})
	refused(t, register, strings.Replace(schemas.MessageAvro, `"name": "msgid"`, `"name": "id"`, 1), "compatibility rule")
	at := strings.LastIndex(schemas.MessageAvro, "\n  ]")
	grown := schemas.MessageAvro[:at] + `, {"name": "n", "type": ["null", "long"], "default": null}]}`
	if later, err := register.ID(t.Context(), subject, grown); err != nil || later == id {
		t.Errorf("a schema with a new field at the end has the id %d, %v", later, err)
	}
	refused(t, newClient(t, registry.Config{URL: strings.TrimSuffix(address, "/apis/ccompat/v7"), Register: true}),
		schemas.MessageAvro, "/apis/ccompat/v7")
}

// refused expects an error that only the operator can correct.
func refused(t *testing.T, c *registry.Client, schema, says string) {
	t.Helper()
	_, err := c.ID(t.Context(), subject, schema)
	if err == nil || pipeline.ClassOf(err) != pipeline.Permanent || !strings.Contains(err.Error(), says) {
		t.Errorf("%v, want a refusal with %q", err, says)
	}
}

func put(t *testing.T, url string, body any) {
	t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	res, err := (&http.Client{}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // Only its status counts.
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", url, res.Status)
	}
}
