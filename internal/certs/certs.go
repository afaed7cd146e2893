// Package certs reads the certificates that a connection's settings name.
package certs

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
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
		var err error
		if conf.RootCAs, err = Authorities(setting+"_CA_FILE", files.CA); err != nil {
			return nil, err
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

// Authorities reads those that are trusted instead of the system's. setting is what names the file, in errors.
func Authorities(setting, path string) (*x509.CertPool, error) {
	bundle, err := regular.Read(path, maxBundle)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", setting, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(bundle) {
		return nil, fmt.Errorf("%s: %s holds no certificate in PEM form", setting, path)
	}
	return pool, nil
}

// Itself trusts the server that has the certificate in a file, whatever address leads there: its first name is asked for. setting is what names
// the file, in errors.
func Itself(setting, path string) (*tls.Config, error) {
	pool, err := Authorities(setting, path)
	if err != nil {
		return nil, err
	}
	bundle, err := regular.Read(path, maxBundle)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", setting, err)
	}
	block, _ := pem.Decode(bundle)
	if block == nil {
		return nil, fmt.Errorf("%s: %s does not begin with a certificate in PEM form", setting, path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", setting, path, err)
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	switch {
	case len(cert.DNSNames) > 0:
		conf.ServerName = cert.DNSNames[0] // A wildcard stands for itself, too.
	case len(cert.IPAddresses) > 0:
		conf.ServerName = cert.IPAddresses[0].String()
	}
	return conf, nil
}
