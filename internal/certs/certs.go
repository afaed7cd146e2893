// Package certs reads the certificates that a connection's settings name.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
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
		pem, err := os.ReadFile(files.CA)
		if err != nil {
			return nil, fmt.Errorf("%s_CA_FILE: %w", setting, err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s_CA_FILE: %s holds no certificate in PEM form", setting, files.CA)
		}
	}
	if files.Cert != "" {
		cert, err := tls.LoadX509KeyPair(files.Cert, files.Key)
		if err != nil {
			return nil, fmt.Errorf("%s_CERT_FILE and %s_KEY_FILE: %w", setting, setting, err)
		}
		conf.Certificates = []tls.Certificate{cert}
	}
	return conf, nil
}
