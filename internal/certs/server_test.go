package certs_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/certs"
)

// writeCertificate writes a certificate of its own authority, with a number, and its key.
func writeCertificate(t *testing.T, files certs.Files, number int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(number), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
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
