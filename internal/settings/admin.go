package settings

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/jmpub/jmpub/internal/regular"
	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/internal/usage"
)

// Admin is somebody who may change something through the API.
type Admin struct {
	// Name stands in the log and in notices.
	Name  string
	Token secret.Secret
}

const (
	// defaultAdmin is the name of a token that has none.
	defaultAdmin = "admin"
	// shortestToken and longestToken bound a token, in letters; maxAdmins is how many there may be.
	shortestToken = 16
	longestToken  = 512
	maxAdmins     = 100
)

// readAdmin reads the tokens from their file, which has one a line.
func (s *Settings) readAdmin() error {
	const name = "JMPUB_ADMIN_TOKEN"
	if s.Admin.TokenFile == "" {
		return nil
	}
	if !s.Admin.Token.IsEmpty() {
		return usage.Errorf("%s and %s_FILE are both set; keep one", name, name)
	}
	data, err := regular.Read(s.Admin.TokenFile, maxSecret)
	if err != nil {
		return usage.Errorf("%s_FILE: %w", name, err)
	}
	text := strings.ReplaceAll(strings.TrimPrefix(string(data), byteOrderMark), "\r\n", "\n")
	for line := range strings.SplitSeq(text, "\n") {
		if wrong := cmp.Or(invisible(line), surrounded(line)); line != "" && wrong != "" {
			return usage.Errorf("%s_FILE: a line of the file %s %s", name, s.Admin.TokenFile, wrong)
		}
	}
	s.Admin.Token = secret.New(strings.TrimSpace(text))
	if s.Admin.Token.IsEmpty() {
		return usage.Errorf("%s_FILE: the file %s is empty", name, s.Admin.TokenFile)
	}
	return nil
}

// cutAdmin takes name:token apart.
func cutAdmin(line string) (name, token string) {
	if name, token, ok := strings.Cut(line, ":"); ok {
		return name, token
	}
	return defaultAdmin, line
}

// parseAdmins reads a token, or name:token, a line.
func (s *Settings) parseAdmins(p *parser) []Admin {
	// What a header can carry as it stands (RFC 6750, b64token).
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/="
	var admins []Admin
	names := make(map[string]bool)
	for line := range strings.Lines(s.Admin.Token.Reveal()) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, token := cutAdmin(line)
		// What stands there is not repeated: it is a secret, or a part of one.
		switch {
		case !IsName(name):
			p.addf("JMPUB_ADMIN_TOKEN: what stands before a colon is no name of up to 100 letters, digits, '.', '_' and '-'")
		case names[name]:
			p.addf("JMPUB_ADMIN_TOKEN: two tokens have the name %s; give each its own, as in name:token", name)
		case len(token) < shortestToken || len(token) > longestToken || strings.Trim(token, letters) != "":
			p.addf("JMPUB_ADMIN_TOKEN: the token of %s is not %d to %d letters, digits and '-._~+/='; `openssl rand -hex 32` makes one",
				name, shortestToken, longestToken)
		default:
			names[name] = true
			admins = append(admins, Admin{name, secret.New(token)})
		}
	}
	if len(admins) > maxAdmins {
		p.add("JMPUB_ADMIN_TOKEN_FILE", fmt.Sprintf("%d tokens", len(admins)), fmt.Sprintf("at most %d", maxAdmins))
	}
	return admins
}
