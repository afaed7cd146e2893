package settings

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/pipeline"
)

// parser turns settings' text into values and keeps every mistake, each with the setting's name, the accepted form and
// what stands there.
type parser struct{ errs []error }

// want keeps a mistake, unless the text is what is wanted.
func (p *parser) want(ok bool, name, text, what string) {
	if !ok {
		p.add(name, text, what)
	}
}

func (p *parser) add(name, text, want string) { p.addf("%s: %q is not %s", name, text, want) }

func (p *parser) addf(format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf(format, args...))
}

func (p *parser) err() error {
	if len(p.errs) == 0 {
		return nil
	}
	return usage.Wrap(errors.Join(p.errs...))
}

func (p *parser) duration(name, text string) time.Duration {
	d, err := ParseDuration(text)
	p.want(err == nil && d >= 0, name, text, "a duration such as 2s, 10m or 7d")
	return d
}

// between is a duration within bounds.
func (p *parser) between(name, text string, shortest, longest time.Duration) time.Duration {
	d, err := ParseDuration(text)
	p.want(err == nil && d >= shortest && d <= longest, name, text, fmt.Sprintf("a duration from %s to %s", shortest, longest))
	return d
}

// durations is a comma-separated list of durations of a minute and more; off is none.
func (p *parser) durations(name, text string) []time.Duration {
	if strings.EqualFold(text, "off") {
		return nil
	}
	var all []time.Duration
	valid := true
	for item := range strings.SplitSeq(text, ",") {
		d, err := ParseDuration(strings.TrimSpace(item))
		valid = valid && err == nil && d >= time.Minute && d <= pipeline.History
		all = append(all, d)
	}
	p.want(valid, name, text, "durations from 1m to 60d such as 10m,24h, or off")
	return all
}

// durationOrBroker is a duration, or -1 where the broker's default holds.
func (p *parser) durationOrBroker(name, text string) time.Duration {
	if text == "-1" {
		return -1
	}
	d, err := ParseDuration(text)
	p.want(err == nil && d > 0, name, text, "a duration such as 7d, or -1 for the broker's default")
	return d
}

// integer is a number from 1 up.
func (p *parser) integer(name, text string, highest int) int {
	n, err := strconv.Atoi(text)
	p.want(err == nil && n >= 1 && n <= highest, name, text, fmt.Sprintf("a number from 1 to %d", highest))
	return n
}

// integerOrBroker is a number from 1 up, or -1 where the broker's default holds.
func (p *parser) integerOrBroker(name, text string, highest int) int {
	n, err := strconv.Atoi(text)
	p.want(err == nil && (n == -1 || n >= 1 && n <= highest), name, text,
		fmt.Sprintf("a number from 1 to %d, or -1 for the broker's default", highest))
	return n
}

func (p *parser) boolean(name, text string) bool {
	switch strings.ToLower(text) {
	case "true", "on", "yes", "1":
		return true
	case "false", "off", "no", "0":
	default:
		p.add(name, text, "true or false")
	}
	return false
}

func (p *parser) oneOf(name, text string, values ...string) string {
	for _, v := range values {
		if strings.EqualFold(text, v) {
			return v
		}
	}
	p.add(name, text, "one of "+strings.Join(values, ", "))
	return ""
}

func (p *parser) required(name, text, what string) {
	if text == "" {
		p.addf("%s is not set: %s", name, what)
	}
}

func (p *parser) location(name, text string) *time.Location {
	zone, err := time.LoadLocation(text)
	if err != nil || text == "" || text == "Local" {
		p.add(name, text, "the name of a time zone such as Asia/Shanghai or UTC")
		return time.UTC
	}
	return zone
}

func (p *parser) baseURL(name, text string) string {
	return p.address(name, text, "https://report.im.jpush.cn/v2", "JMPUB_APP_KEY and JMPUB_MASTER_SECRET")
}

// address is a URL such as the example, without what does not belong there; credentials names their own settings.
func (p *parser) address(name, text, example, credentials string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil: // The text is not repeated here, nor below: credentials may stand in it.
		p.addf("%s is not an address such as %s", name, example)
		return ""
	case u.User != nil:
		p.addf("%s: credentials do not belong in the address; use %s", name, credentials)
		return ""
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
		p.add(name, text, "an address such as "+example)
		return ""
	}
	return strings.TrimRight(text, "/")
}

func (p *parser) hostPorts(name, text string) []string {
	var list []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			p.hostPort(name, item)
			list = append(list, item)
		}
	}
	return list
}

func (p *parser) hostPort(name, text string) {
	_, port, err := net.SplitHostPort(text)
	n, portErr := strconv.Atoi(port)
	p.want(err == nil && portErr == nil && n >= 0 && n <= 65535, name, text, "host:port")
}

// hostNames is a comma-separated list of host names, of domains with a dot before them, or * for any.
func (p *parser) hostNames(name, text string) []string {
	var list []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.ToLower(strings.TrimSpace(item)); item != "" {
			p.want(item == "*" || !strings.ContainsAny(item, "*:/@ \t"), name, item, "a host name without a port, .domain, or *")
			list = append(list, item)
		}
	}
	return list
}

func (p *parser) logLevel(name, text string) slog.Level {
	var level slog.Level
	p.want(level.UnmarshalText([]byte(text)) == nil, name, text, "one of debug, info, warn, error")
	return level
}
