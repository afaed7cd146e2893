package probe_test

import (
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/jmpub/jmpub/internal/lab/broker"
	"github.com/jmpub/jmpub/internal/probe"
)

// TestAt asks a server of each kind, and where nothing is known.
func TestAt(t *testing.T) {
	brokers, err := broker.Start(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = brokers.Close() })
	plain, encrypted := httptest.NewServer(nil), httptest.NewTLSServer(nil)
	t.Cleanup(plain.Close)
	t.Cleanup(encrypted.Close)
	mute, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mute.Close() })
	_, encryptedAt, _ := strings.Cut(encrypted.URL, "//")
	_, plainAt, _ := strings.Cut(plain.URL, "//")
	for address, want := range map[string]probe.Answer{
		brokers.Addrs()[0]:   {Kafka: true},
		plainAt:              {HTTP: true},
		encryptedAt:          {HTTP: true, TLS: true},
		mute.Addr().String(): {},
		"127.0.0.1:1":        {},
		"nowhere":            {},
	} {
		if got := probe.At(t.Context(), address); got != want {
			t.Errorf("%s: %+v, want %+v", address, got, want)
		}
	}
}
