package certs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jmpub/jmpub/internal/certs"
)

// TestErrorsNameTheSetting expects of each file that cannot be used an error with the setting and the file.
func TestErrorsNameTheSetting(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.pem")
	if err := os.WriteFile(bad, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for says, files := range map[string]certs.Files{
		"JMPUB_X_CA_FILE: open /nowhere/ca.pem":                       {CA: "/nowhere/ca.pem"},
		"JMPUB_X_CA_FILE: " + bad + " holds no certificate":           {CA: bad},
		"JMPUB_X_CERT_FILE and JMPUB_X_KEY_FILE: open /nowhere/a.pem": {Cert: "/nowhere/a.pem", Key: bad},
		"JMPUB_X_CERT_FILE and JMPUB_X_KEY_FILE: tls":                 {Cert: bad, Key: bad},
	} {
		if _, err := certs.TLS("JMPUB_X", files); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want %q", files, err, says)
		}
	}
	if conf, err := certs.TLS("JMPUB_X", certs.Files{}); err != nil || conf.RootCAs != nil || len(conf.Certificates) > 0 {
		t.Errorf("without files: %v, %v", conf, err)
	}
}
