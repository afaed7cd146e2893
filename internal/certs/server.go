package certs

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/jmpub/jmpub/internal/regular"
)

// lookEvery is how often the files of a server's certificate are looked at.
const lookEvery = 10 * time.Second

// Server is what a server answers with whose certificate is in files, setting_CERT_FILE and setting_KEY_FILE. They are read again when they
// change, also by the symlink swap of a mounted secret. Of files that cannot be used then, changed is told why, and the certificate that was
// read before stays; it is told nil of one that was read.
func Server(setting string, files Files, changed func(error)) (*tls.Config, error) {
	s := &served{setting: setting, files: files, changed: changed}
	if err := s.load(); err != nil {
		return nil, err
	}
	s.stamp, s.looked = stampOf(files), time.Now()
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.get}, nil
}

// served is a certificate and where it comes from. Safe for concurrent use.
type served struct {
	setting string
	files   Files
	changed func(error)

	mu     sync.Mutex // Guards what follows.
	cert   *tls.Certificate
	looked time.Time
	stamp  string
}

// stampOf is another one when the files are.
func stampOf(files Files) string {
	of := func(path string) string {
		info, err := os.Stat(path)
		if err != nil {
			return "none"
		}
		return fmt.Sprintf("%d %d", info.ModTime().UnixNano(), info.Size())
	}
	return of(files.Cert) + ", " + of(files.Key)
}

// get implements [tls.Config.GetCertificate].
func (s *served) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.looked) < lookEvery {
		return s.cert, nil
	}
	s.looked = time.Now()
	if stamp := stampOf(s.files); stamp != s.stamp {
		s.stamp = stamp
		s.changed(s.load())
	}
	return s.cert, nil
}

// load reads the files. The caller holds the lock, or nobody else knows s.
func (s *served) load() error {
	certPEM, certErr := regular.Read(s.files.Cert, maxFile)
	keyPEM, keyErr := regular.Read(s.files.Key, maxFile)
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err = cmp.Or(errors.Join(certErr, keyErr), err); err != nil {
		return fmt.Errorf("%s_CERT_FILE and %s_KEY_FILE: %w", s.setting, s.setting, err)
	}
	s.cert = &cert
	return nil
}
