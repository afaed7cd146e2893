package settings

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
)

// proxies checks the variables that name the proxies of HTTP as net/http reads them: the first of both spellings that is set. What net/http
// cannot read it leaves out without a word, and goes past the proxy. The values may hold passwords, so none is repeated.
func (p *parser) proxies() {
	for _, capitals := range []string{"HTTP_PROXY", "HTTPS_PROXY"} {
		if name, value := eitherCase(capitals); value != "" && !isProxy(value) {
			p.addf("%s is no address of a proxy such as http://proxy:3128 or socks5://proxy:1080 (what it holds is not shown); correct or unset it", name)
		}
	}
}

// exceptions are the entries of NO_PROXY that net/http leaves out. Other programs may read them, so they are no mistake.
func exceptions() []Warning {
	var all []Warning
	name, value := eitherCase("NO_PROXY")
	for i, entry := range strings.Split(value, ",") {
		if !isException(strings.TrimSpace(entry)) {
			all = append(all, Warning{
				name, fmt.Sprintf("entry %d means nothing here, so what it names is reached through the proxy", i+1),
				"name hosts, .domains, addresses or networks such as 10.0.0.0/8, separated by commas, or * alone",
			})
		}
	}
	return all
}

// eitherCase is the variable in capitals, or if it is not set the one in small letters.
func eitherCase(name string) (set, value string) {
	if value, _ = os.LookupEnv(name); value != "" {
		return name, value
	}
	name = strings.ToLower(name)
	value, _ = os.LookupEnv(name)
	return name, value
}

// isProxy tells whether net/http can use an address as a proxy's. Without a scheme it is one of HTTP.
func isProxy(text string) bool {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	return slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) && u.Hostname() != "" &&
		(u.Port() == "" || isPort(u.Port())) && strings.Trim(u.Path, "/") == "" && u.RawQuery == "" && u.Fragment == ""
}

// isException tells whether net/http makes of an entry what it says.
func isException(entry string) bool {
	host, port, err := net.SplitHostPort(entry)
	switch {
	case entry == "" || entry == "*" || net.ParseIP(strings.Trim(entry, "[]")) != nil:
		return true
	case strings.Contains(entry, "/"):
		_, _, err = net.ParseCIDR(entry)
		return err == nil
	case err != nil: // Without a port, the only colons are those of an address.
		host = entry
	case !isPort(port):
		return false
	case net.ParseIP(host) != nil:
		return true
	}
	return host != "" && !strings.ContainsAny(strings.TrimPrefix(host, "*."), "* \t\r\n;:@?#\\")
}

func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}
