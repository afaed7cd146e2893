package soak

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// Link is the network between jmpub and one address: all of its bytes pass through it.
type Link struct {
	proxy    *toxiproxy.Proxy
	upstream string
}

// NewLink listens at an address (port 0 chooses one) and passes on to upstream until the test ends.
func NewLink(tb testing.TB, name, listen, upstream string) *Link {
	tb.Helper()
	zerolog.SetGlobalLevel(zerolog.Disabled) // Toxics have a logger of their own.
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	l := &Link{proxy: toxiproxy.NewProxy(server, name, listen, upstream), upstream: upstream}
	if err := l.proxy.Start(); err != nil {
		tb.Fatalf("listen for %s at %s: %v", name, listen, err)
	}
	tb.Cleanup(l.proxy.Stop)
	return l
}

// Addr is where the link listens.
func (l *Link) Addr() string { return l.proxy.Listen }

// Cut ends all connections and refuses new ones.
func (l *Link) Cut(tb testing.TB) { tb.Helper(); l.update(tb, false) }

// Heal undoes everything.
func (l *Link) Heal(tb testing.TB) {
	tb.Helper()
	l.proxy.Toxics.ResetToxics(context.WithoutCancel(tb.Context()))
	l.update(tb, true)
}

func (l *Link) update(tb testing.TB, enabled bool) {
	tb.Helper()
	err := l.proxy.Update(&toxiproxy.Proxy{Name: l.proxy.Name, Listen: l.proxy.Listen, Upstream: l.upstream, Enabled: enabled})
	if err != nil {
		tb.Fatalf("link %s: %v", l.proxy.Name, err)
	}
}

// Delay makes every reply later by d, give or take half of it.
func (l *Link) Delay(tb testing.TB, d time.Duration) {
	tb.Helper()
	l.toxic(tb, "latency", map[string]any{"latency": d.Milliseconds(), "jitter": d.Milliseconds() / 2})
}

func (l *Link) toxic(tb testing.TB, kind string, attributes map[string]any) {
	tb.Helper()
	for _, stream := range []string{"upstream", "downstream"} {
		text, err := json.Marshal(map[string]any{"type": kind, "stream": stream, "attributes": attributes})
		if err == nil {
			_, err = l.proxy.Toxics.AddToxicJson(strings.NewReader(string(text)))
		}
		if err != nil {
			tb.Fatalf("link %s: %s: %v", l.proxy.Name, kind, err)
		}
	}
}
