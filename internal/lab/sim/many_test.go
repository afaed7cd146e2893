package sim_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/jmpub/jmpub/internal/lab/sim"
)

// TestManyAppsAreToldApartByTheirKeys answers each app from its own history, and nobody with another's secret.
func TestManyAppsAreToldApartByTheirKeys(t *testing.T) {
	all := sim.Alike(sim.Defaults(), 3)
	all[1].MasterSecret = "AnotherSecret00000000001"
	api, err := sim.NewMany(all)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(key, password string) (int, string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v2/messages?count=1&begin_time=2026-11-01%2010:00:00&end_time=2026-11-01%2010:01:00", http.NoBody)
		r.SetBasicAuth(key, password)
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	bodies := make(map[string]bool)
	for _, o := range all {
		code, body := ask(o.AppKey, o.MasterSecret)
		if bodies[body] = true; code != http.StatusOK || api.App(o.AppKey).Stats().Requests != 1 {
			t.Errorf("%s: %d %s", o.AppKey, code, body)
		}
	}
	if len(bodies) != len(all) {
		t.Errorf("%d apps have %d histories", len(all), len(bodies))
	}
	for _, wrong := range [][2]string{{all[1].AppKey, all[0].MasterSecret}, {"unknown", all[0].MasterSecret}} {
		if code, body := ask(wrong[0], wrong[1]); code != http.StatusUnauthorized {
			t.Errorf("%v: %d %s", wrong, code, body)
		}
	}
	if _, err = sim.NewMany([]sim.Options{all[0], all[0]}); err == nil {
		t.Error("one key is that of two apps")
	}
}
