package operate

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/jmpub/jmpub/internal/certs"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/internal/web"
)

// WatchOptions say which process is watched.
type WatchOptions struct {
	// URL is its address; empty is that of JMPUB_LISTEN. CAFile has the authorities that are trusted instead of the system's.
	URL, CAFile string
	// PlainToken lets a token go to other machines over http.
	PlainToken bool
}

// Look is what is known of a process at a moment.
type Look struct {
	// URL is where it is asked, Now when it was looked at.
	URL string
	Now time.Time
	// Zone is that of times, as the process has it.
	Zone *time.Location
	// Overview is what it told last, At when that was; nil before it told anything.
	Overview *web.Overview
	At       time.Time
	// History and Apps are what it told of them last, AppsErr is why it does not tell of the apps.
	History *web.History
	Apps    *web.FleetAnswer
	AppsErr error
	// Err is why it tells nothing now, Since since when that is so. Wrong tells that only another command line or setting helps.
	Err   error
	Since time.Time
	Wrong bool
}

// Watch asks a process how it does. It is used by one goroutine at a time.
type Watch struct {
	client *web.Client
	last   Look
	// asked is when more than the overview was asked for.
	asked time.Time
	// hint says what to do where nobody answers.
	hint string
}

const (
	// moreEvery is how often more than the overview is asked for: there is something new as often. moreTime is for how long it holds up
	// the next overview.
	moreEvery = 10 * time.Second
	moreTime  = 2 * time.Second
	// watchedMinutes are those of which samples are asked for.
	watchedMinutes = 15
)

// NewWatch makes a watch, which asks nobody yet.
func NewWatch(cfg *settings.Config, o WatchOptions) (*Watch, error) {
	client, hint := web.ClientOptions{URL: o.URL, Plain: o.PlainToken}, "is `jmpub run` at work there? --url has the address"
	if len(cfg.Admins) > 0 {
		client.Token = cfg.Admins[0].Token
	}
	var err error
	if o.URL == "" {
		hint = "is `jmpub run` at work there? JMPUB_LISTEN has the address, --url names another one"
		if client.URL, err = listenURL(cfg); err != nil {
			return nil, err
		}
		if cfg.ListenCert != "" && o.CAFile == "" {
			client.TLS, err = certs.Itself("JMPUB_LISTEN_TLS_CERT_FILE", cfg.ListenCert)
		}
	}
	if o.CAFile != "" {
		client.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		client.TLS.RootCAs, err = certs.Authorities("--ca-file", o.CAFile)
	}
	if err != nil {
		return nil, usage.Wrap(err)
	}
	c, err := web.NewClient(client)
	if err != nil {
		return nil, fmt.Errorf("--url: %w", err)
	}
	return &Watch{client: c, hint: hint, last: Look{URL: c.URL(), Zone: cfg.Source.TimeZone}}, nil
}

// listenURL is where the process that listens at JMPUB_LISTEN is reached from this machine.
func listenURL(cfg *settings.Config) (string, error) {
	if cfg.Listen == "off" {
		return "", usage.Errorf("JMPUB_LISTEN is off: a process with these settings answers nobody; --url names one that does")
	}
	host, port, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return "", usage.Errorf("JMPUB_LISTEN: %w", err)
	}
	// Who listens on all addresses listens on this one.
	if ip, failed := netip.ParseAddr(cmp.Or(host, "0.0.0.0")); failed == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip.Is6() {
			host = "::1"
		}
	}
	scheme := "http"
	if cfg.ListenCert != "" {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, port), nil
}

// Look asks, and says what is known then: what is not told now is what was told last.
func (w *Watch) Look(ctx context.Context) *Look {
	found, err := w.client.Overview(ctx)
	w.last.Now = time.Now()
	if err != nil {
		w.failed(err)
	} else {
		w.told(ctx, found)
	}
	now := w.last
	return &now
}

func (w *Watch) failed(err error) {
	if w.last.Err == nil {
		w.last.Since = w.last.Now
	}
	w.last.Err, w.last.Wrong = err, errors.As(err, &usage.Error{})
	if errors.Is(err, web.ErrUnreachable) {
		w.last.Err = fmt.Errorf("%w (%s)", err, w.hint)
	}
}

func (w *Watch) told(ctx context.Context, found *web.Overview) {
	w.last.Overview, w.last.At, w.last.Err, w.last.Since = found, w.last.Now, nil, time.Time{}
	if zone, err := time.LoadLocation(found.TimeZone); err == nil && found.TimeZone != "" {
		w.last.Zone = zone
	}
	if w.last.Now.Sub(w.asked) >= moreEvery {
		w.more(ctx)
	}
}

// more asks for what changes more seldom.
func (w *Watch) more(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, moreTime)
	defer cancel()
	w.asked = w.last.Now
	if found, err := w.client.History(ctx, watchedMinutes); err == nil { // Without it there are no lines, and the next one may come.
		w.last.History = found
	}
	found, err := w.client.Apps(ctx)
	if w.last.AppsErr = err; err == nil {
		w.last.Apps = found
	}
}
