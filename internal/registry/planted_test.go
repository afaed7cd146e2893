package registry_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jmpub/jmpub/internal/registry"
	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/internal/tests/hostile"
	"github.com/jmpub/jmpub/pipeline"
)

// TestPlantedSecrets has a registry show the credentials in every place of its answers, and none in the errors that come of them.
func TestPlantedSecrets(t *testing.T) {
	const user, password = "registry-user", `Zq7&kW/2n+X"<é'8\Lm`
	forms := hostile.Forms(user, password)
	var answer string
	c := newClient(t, registry.Config{
		URL:      "http://" + hostile.Serve(t, func(string) string { return answer }),
		Username: user, Password: secret.New(password), Register: true,
	})
	try := func(name, whole string) {
		t.Helper()
		answer = whole
		_, err := c.ID(t.Context(), "a-value", schema+name) // Another one each time.
		for ; err != nil; err = errors.Unwrap(err) {
			said := fmt.Sprintf("%v %+v", err, err)
			if shown, obeyed := hostile.Shown(said, forms), hostile.Obeyed(said); shown != "" || obeyed != "" || len(said) > 5000 {
				t.Errorf("%s: %s, %s is in %.2000q", name, shown, obeyed, said)
			}
		}
	}
	for _, form := range []string{"plain", "token", "unicode"} {
		text := forms[form]
		for name, whole := range hostile.Answers(text + hostile.Controls) {
			try(form+", "+name, whole)
		}
		for name, body := range hostile.Bodies(text) {
			for _, status := range []int{200, 403, 500} {
				try(fmt.Sprintf("%s, %d %s", form, status, name), hostile.Answer(status, body))
			}
		}
		try(form+", raw", hostile.Answer(422, hostile.Controls+text))
	}
}

// TestRedirect follows none: at another port is another server.
func TestRedirect(t *testing.T) {
	var asked atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(other.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.RedirectHandler(other.URL+"/pass-phrase", status))
		t.Cleanup(server.Close)
		for _, register := range []bool{false, true} {
			c := newClient(t, registry.Config{URL: server.URL, Username: "u", Password: secret.New("pass-phrase"), Register: register})
			_, err := c.ID(t.Context(), "a-value", schema)
			if err == nil || pipeline.ClassOf(err) != pipeline.Permanent || !strings.Contains(err.Error(), other.URL) ||
				!strings.Contains(err.Error(), "JMPUB_SCHEMA_REGISTRY_URL") || strings.Contains(err.Error(), "pass-phrase") {
				t.Errorf("%d, register %t: %v", status, register, err)
			}
		}
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
}
