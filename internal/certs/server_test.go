package certs_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/certs"
)

// writeCertificate writes a certificate of its own authority, with a number, and its key.
func writeCertificate(t *testing.T, files certs.Files, number int64) {
	t.Helper()
	writeTemplate(t, files, &x509.Certificate{SerialNumber: big.NewInt(number), DNSNames: []string{"localhost"}})
}

func writeTemplate(t *testing.T, files certs.Files, template *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.NotAfter = time.Now().Add(time.Hour)
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{files.Cert: {Type: "CERTIFICATE", Bytes: cert}, files.Key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCertificateIsReadAgain when its files have changed, and stays where what stands there then cannot be used.
func TestCertificateIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		files := certs.Files{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
		if _, err := certs.Server("JMPUB_X", files, nil); err == nil {
			t.Error("files that are not there are taken")
		}
		writeCertificate(t, files, 1)
		var told []error
		conf, err := certs.Server("JMPUB_X", files, func(err error) { told = append(told, err) })
		if err != nil {
			t.Fatal(err)
		}
		serves := func(number int64, times int, wrong bool) {
			t.Helper()
			cert, err := conf.GetCertificate(nil)
			if err != nil || cert.Leaf.SerialNumber.Int64() != number || len(told) != times || times > 0 && (told[times-1] != nil) != wrong {
				t.Errorf("%v, %v, told %v; want certificate %d, told %d times, wrong %t", cert.Leaf.SerialNumber, err, told, number, times, wrong)
			}
		}
		serves(1, 0, false)
		writeCertificate(t, files, 2)
		serves(1, 0, false) // It is looked at now and then.
		time.Sleep(10 * time.Second)
		serves(2, 1, false)
		if err := os.WriteFile(files.Key, []byte("nothing"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		serves(2, 2, true)
		time.Sleep(10 * time.Second)
		serves(2, 2, true)
		writeCertificate(t, files, 3)
		time.Sleep(10 * time.Second)
		serves(3, 3, false)
	})
}

// TestItselfTrustsItsOwnCertificate: who has a server's certificate file trusts that server, whatever names are in it, and no other one.
func TestItselfTrustsItsOwnCertificate(t *testing.T) {
	dir := t.TempDir()
	other := certs.Files{Cert: filepath.Join(dir, "other.pem"), Key: filepath.Join(dir, "other-key.pem")}
	writeTemplate(t, other, &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"jmpub.example"}, IPAddresses: []net.IP{net.IPv4(10, 0, 0, 7)}})
	for name, template := range map[string]*x509.Certificate{
		"name": {DNSNames: []string{"jmpub.example"}}, "wildcard": {DNSNames: []string{"*.jmpub.example"}}, "address": {IPAddresses: []net.IP{net.IPv4(10, 0, 0, 7)}},
	} {
		files := certs.Files{Cert: filepath.Join(dir, name), Key: filepath.Join(dir, name+"-key")}
		template.SerialNumber = big.NewInt(2)
		writeTemplate(t, files, template)
		for server, trusted := range map[*certs.Files]bool{&files: true, &other: false} {
			client, err := certs.Itself("JMPUB_X_CERT_FILE", files.Cert)
			if err != nil {
				t.Fatal(err)
			}
			serving, err := certs.Server("JMPUB_X", *server, nil)
			if err != nil {
				t.Fatal(err)
			}
			near, far := net.Pipe()
			go func() { _ = tls.Server(far, serving).HandshakeContext(t.Context()) }()
			if err = tls.Client(near, client).HandshakeContext(t.Context()); (err == nil) != trusted {
				t.Errorf("%s: trusted %t: %v", name, trusted, err)
			}
			_, _ = near.Close(), far.Close()
		}
	}
	for _, text := range []string{"", "no PEM"} {
		path := filepath.Join(dir, "bad")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := certs.Itself("JMPUB_X_CERT_FILE", path); err == nil || !strings.HasPrefix(err.Error(), "JMPUB_X_CERT_FILE: ") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
