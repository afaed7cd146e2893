package web

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/jmpub/jmpub/internal/secret"
)

// Token lets somebody change something, and see everything from other machines.
type Token struct {
	// Name is whose it is, for the log and for notices.
	Name   string
	Secret secret.Secret
}

const (
	// mostFailures is how many wrong tokens an address may show in failureTime; from then on it is not heard until that is over.
	mostFailures = 10
	failureTime  = time.Minute
	// maxAddresses is of how many addresses failures are remembered.
	maxAddresses = 1024
)

// gate tells who calls. Safe for concurrent use.
type gate struct {
	tokens []hashedToken
	log    *slog.Logger

	mu       sync.Mutex // Guards failures.
	failures map[netip.Addr]*failure
}

// hashedToken is compared by its hash, which is as long as that of any other one.
type hashedToken struct {
	name string
	sum  [sha256.Size]byte
}

// failure is how many wrong tokens an address has shown since a time.
type failure struct {
	since time.Time
	n     int
}

func newGate(tokens []Token, log *slog.Logger) *gate {
	g := &gate{log: log, failures: make(map[netip.Addr]*failure)}
	for _, t := range tokens {
		g.tokens = append(g.tokens, hashedToken{t.Name, sha256.Sum256([]byte(t.Secret.Reveal()))})
	}
	return g
}

// caller is who calls, known by a token.
type caller struct{ name, address string }

type callerKey struct{}

// callerOf is who made a request; not known where it had no token.
func callerOf(ctx context.Context) (c caller, known bool) {
	c, known = ctx.Value(callerKey{}).(caller)
	return c, known
}

// separate lets those pass to next who show a token, those who show none to without, and refuses a wrong one. An address that has shown too
// many wrong ones is refused whatever it shows: a right one would tell it that it has guessed.
func (g *gate) separate(next, without http.Handler) http.Handler {
	if len(g.tokens) == 0 {
		return without
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown := r.Header.Values("Authorization")
		if len(shown) == 0 {
			without.ServeHTTP(w, r)
			return
		}
		address := addressOf(r)
		if wait := g.wait(address); wait > 0 {
			w.Header().Set("Retry-After", "60")
			refuse(w, http.StatusTooManyRequests, "too many wrong tokens came from this address; it is heard again in a minute")
			return
		}
		name, ok := g.name(shown)
		if !ok {
			g.fail(r.Context(), address)
			unauthorized(w)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, caller{name, address.String()})))
	})
}

func unauthorized(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="jmpub"`)
	refuse(w, http.StatusUnauthorized, "this call needs a token of JMPUB_ADMIN_TOKEN, as in: Authorization: Bearer TOKEN")
}

// name is whose token was shown. It takes as long for every one that is wrong.
func (g *gate) name(shown []string) (name string, ok bool) {
	scheme, token, _ := strings.Cut(shown[0], " ")
	sum := sha256.Sum256([]byte(token))
	for i := range g.tokens {
		if subtle.ConstantTimeCompare(sum[:], g.tokens[i].sum[:]) == 1 {
			name, ok = g.tokens[i].name, true
		}
	}
	return name, ok && strings.EqualFold(scheme, "Bearer") && len(shown) == 1
}

// addressOf is the address from which a request came; of IPv6 the network, of which one may have all addresses.
func addressOf(r *http.Request) netip.Addr {
	host, _, _ := net.SplitHostPort(r.RemoteAddr) // What cannot be read is the zero address, as any other that cannot.
	ip, _ := netip.ParseAddr(host)
	ip = ip.Unmap().WithZone("")
	if ip.Is6() && !ip.IsLoopback() {
		const network = 64
		prefix, _ := ip.Prefix(network)
		return prefix.Addr()
	}
	return ip
}

// wait is for how long an address is not heard.
func (g *gate) wait(address netip.Addr) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.failures[address]
	if f == nil || f.n < mostFailures {
		return 0
	}
	return max(0, failureTime-time.Since(f.since))
}

// fail counts a wrong token.
func (g *gate) fail(ctx context.Context, address netip.Addr) {
	if n := g.count(address); n == 1 || n == mostFailures {
		g.log.WarnContext(ctx, "a wrong token was shown to the API", slog.String("from", address.String()), slog.Int("times", n),
			slog.Bool("refused", n == mostFailures))
	}
}

func (g *gate) count(address netip.Addr) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.failures[address]
	if f == nil || time.Since(f.since) >= failureTime {
		g.forget()
		f = &failure{since: time.Now()}
		g.failures[address] = f
	}
	f.n++
	return f.n
}

// forget makes room for an address. The caller holds the lock.
func (g *gate) forget() {
	if len(g.failures) < maxAddresses {
		return
	}
	var oldest netip.Addr
	for address, f := range g.failures {
		if time.Since(f.since) >= failureTime {
			delete(g.failures, address)
		} else if known := g.failures[oldest]; known == nil || f.since.Before(known.since) {
			oldest = address
		}
	}
	if len(g.failures) >= maxAddresses {
		delete(g.failures, oldest)
	}
}
