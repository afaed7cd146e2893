// Package certs reads the certificates that a connection's settings name.
package certs

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/jmpub/jmpub/internal/regular"
)

// The most that is read of a file. Authorities come in bundles; the system's own have some 200 KiB.
const (
	maxFile   = 64 << 10
	maxBundle = 4 << 20
)

// Files are paths of PEM files; empty ones are not read.
type Files struct {
	// CA has the authorities that are trusted instead of the system's.
	CA string
	// Cert and Key are the client's own; they go together.
	Cert, Key string
}

// TLS reads the files into a configuration. setting begins the names of the settings that name them, in errors: for
// JMPUB_KAFKA_TLS they are JMPUB_KAFKA_TLS_CA_FILE, _CERT_FILE and _KEY_FILE.
func TLS(setting string, files Files) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if files.CA != "" {
		pem, err := regular.Read(files.CA, maxBundle)
		if err != nil {
			return nil, fmt.Errorf("%s_CA_FILE: %w", setting, err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s_CA_FILE: %s holds no certificate in PEM form", setting, files.CA)
		}
	}
	if files.Cert != "" {
		certPEM, certErr := regular.Read(files.Cert, maxFile)
		keyPEM, keyErr := regular.Read(files.Key, maxFile)
		cert, err := tls.X509KeyPair(certPEM, keyPEM)
		if err = cmp.Or(errors.Join(certErr, keyErr), err); err != nil {
			return nil, fmt.Errorf("%s_CERT_FILE and %s_KEY_FILE: %w", setting, setting, err)
		}
		conf.Certificates = []tls.Certificate{cert}
	}
	return conf, nil
}
