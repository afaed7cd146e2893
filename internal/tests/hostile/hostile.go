// Package hostile has what a server answers that shows the credentials which it got, or wants a terminal to obey it.
package hostile

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// Controls are what a terminal obeys or does not show, without line breaks: C0, DEL and C1, what turns the direction, what has no
// width, and bytes that are no UTF-8.
const Controls = "\x1b]0;owned\a\x1b[2J\x9b31m\u009b31m\x7f\b\u202e\u2066\u200f\u061c\u200b\u2028\ufeff\xff"

// Forms are ways in which a password may be written, by itself or in the token that Basic authentication makes of it.
func Forms(user, password string) map[string]string {
	asJSON, err := json.Marshal(password)
	if err != nil { // A string is always JSON.
		panic(err)
	}
	token := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	each := func(verb string) string {
		var b strings.Builder
		for _, r := range password {
			fmt.Fprintf(&b, verb, r)
		}
		return b.String()
	}
	return map[string]string{
		"plain": password, "token": token, "URL token": base64.RawURLEncoding.EncodeToString([]byte(user + ":" + password)),
		"small token": strings.ToLower(token), "JSON": string(asJSON[1 : len(asJSON)-1]),
		"quoted": strconv.QuoteToASCII(password)[1:], "quoted token": url.QueryEscape(token),
		"query": url.QueryEscape(password), "HTML": html.EscapeString(password), "unicode": each(`\u%04x`),
		"entities": each("&#%d;"), "digits": hex.EncodeToString([]byte(password)),
		"SASL": base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password)),
	}
}

// Shown is a part of some forms that an output shows, in any letters and however quoted; empty if it shows none. It goes by more
// letters than come about by chance.
func Shown(output string, forms map[string]string) string {
	plain := func(text string) string { return strings.ToLower(strings.ReplaceAll(text, `\`, "")) }
	output = plain(output)
	const letters = 12
	for name, form := range forms {
		if name == "SASL" { // It begins with the user's name.
			form = form[len(form)/2:]
		}
		form = plain(form)
		for i := letters; i+letters <= len(form); i++ {
			if strings.Contains(output, form[i:i+letters]) {
				return name + ": " + form[i:i+letters]
			}
		}
	}
	return ""
}

// Obeyed is what a terminal would obey in an output, line breaks and tabs apart; empty if there is nothing. Colour is expected of
// nothing but what is drawn.
func Obeyed(output string) string {
	for i, r := range output {
		_, size := utf8.DecodeRuneInString(output[i:])
		if r == utf8.RuneError && size == 1 ||
			r != '\n' && r != '\t' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			return strconv.QuoteToASCII(output[max(0, i-20):min(len(output), i+20)])
		}
	}
	return ""
}

// Answers are whole answers of a server, each with a text in another place around its body, framing and header.
func Answers(text string) map[string]string {
	all := map[string]string{
		"no HTTP":          text + "\r\n\r\n",
		"version":          "HTTP/" + text + " 200 OK\r\n\r\n",
		"status":           "HTTP/1.1 " + text + " OK\r\n\r\n",
		"no status":        "HTTP/1.1 2" + text + "\r\n\r\n",
		"reason":           "HTTP/1.1 500 " + text + "\r\nContent-Length: 0\r\n\r\n",
		"upgrade":          "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: " + text + "\r\n\r\n" + text,
		"early hints":      strings.Repeat("HTTP/1.1 103 "+text+"\r\nLink: "+text+"\r\n\r\n", 9),
		"no header":        "HTTP/1.1 200 OK\r\n" + text + "\r\n\r\n",
		"folded":           "HTTP/1.1 200 OK\r\n " + text + "\r\n\r\n",
		"name":             "HTTP/1.1 200 OK\r\n" + text + ": 1\r\nContent-Length: 2\r\n\r\n{}",
		"chunk size":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + text + "\r\n{}\r\n0\r\n\r\n",
		"chunk extension":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=" + text + "\r\n{}\r\n0\r\n\r\n",
		"behind a chunk":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}" + text + "\r\n0\r\n\r\n",
		"no trailer":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" + text + "\r\n\r\n",
		"trailer":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nA: " + text + "\r\nB" + text + "\r\n\r\n",
		"trailer's name":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length, " + text + "\r\n\r\n0\r\n\r\n",
		"two lengths":      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: " + text + "\r\n\r\n{}",
		"two encodings":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: " + text + "\r\n\r\n",
		"cut off":          "HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + text,
		"behind the end":   "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}" + text,
		"gzip":             zipped(text, text, true),
		"broken gzip":      zipped(text, text, false),
		"zipped error":     zipped(`{"error":{"code":899001,"message":"`+text+`"}}`, text, true),
		"without encoding": "HTTP/1.1 200 OK\r\nContent-Encoding: " + text + "\r\nContent-Length: 3\r\n\r\n\xf8\xf8\xf8",
	}
	for _, header := range []string{
		"Transfer-Encoding", "Content-Length", "Content-Encoding", "Content-Type", "Date", "Trailer", "Connection", "Set-Cookie",
		"X-Rate-Limit-Limit", "X-Rate-Limit-Remaining", "X-Rate-Limit-Reset", "Retry-After", "WWW-Authenticate",
	} {
		all[header] = "HTTP/1.1 429 Too Many Requests\r\n" + header + ": " + text + "\r\n\r\n{}"
	}
	for _, location := range []string{"", "http://127.0.0.1:1/", "http://u:p@127.0.0.1:1/?a="} {
		all["redirect to "+location] = "HTTP/1.1 307 Elsewhere\r\nLocation: " + location + text + "\r\nContent-Length: 0\r\n\r\n"
	}
	return all
}

// Bodies have a text in every place of what is read: of pages, errors, lists, statistics, and of a registry's answers.
func Bodies(text string) map[string]string {
	return map[string]string{
		"text": text, "page": "<html><body><pre>Authorization: Basic " + text + "</pre></body></html>",
		"far on": strings.Repeat("x", 190) + text, "quote": `"` + text,
		"total": `{"total":"` + text + `","count":0,"messages":[]}`, "number": `{"total":` + text + `}`,
		"count":     `{"total":1,"count":"` + strings.Repeat("1", 180) + text + `","messages":[{"msgid":1}]}`,
		"cursor":    `{"total":9,"cursor":["` + text + `"],"count":1,"messages":[{"msgid":1}]}`,
		"member":    `{"` + text + `":{"` + text + `":[}}`,
		"deep":      `{"` + strings.Repeat("y", 40) + text + `":{"` + text + strings.Repeat("z", 60) + `":[1,2,{"a":nul}]}}`,
		"twice":     `{"` + text + `":1,"` + text + `":1}`,
		"row":       `{"total":1,"count":1,"messages":[` + text + `]}`,
		"statistic": `[{"` + text + `":"` + text + `"}]`, "day": `[{"date":"` + text + `","active_users":1}]`,
		"list": `{"total":1,"users":[{"` + text + `":1}]}`, "entry": `{"total":1,"users":["` + text + `/` + text + `"]}`,
		"error":                      `{"error":{"code":899001,"message":"` + text + `"}}`,
		"error whose code is a text": `{"error":{"code":"` + text + `","message":"x"}}`,
		"other":                      `{"error_code":40301,"message":"` + text + `"}`,
		"id":                         `{"id":"` + text + `","subject":"` + text + `","version":1}`,
	}
}

// Answer is an answer with a body.
func Answer(status int, body string) string {
	return fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Length: %d\r\n\r\n%s", status, http.StatusText(status), len(body), body)
}

func zipped(body, name string, whole bool) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Name, z.Comment = strings.ToValidUTF8(strings.Map(latin, name), ""), strings.Map(latin, name)
	_, _ = io.WriteString(z, body) // Memory takes all.
	_ = z.Close()
	if !whole {
		b.Truncate(b.Len() - len("crc sizes"))
	}
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", b.Len(), b.String())
}

// latin leaves out what the header of a gzip cannot have.
func latin(r rune) rune {
	if r == 0 || r > unicode.MaxLatin1 {
		return -1
	}
	return r
}

// Serve answers requests, as they stand, by what answer gives, and hangs up after each. It returns the address.
func Serve(tb testing.TB, answer func(request string) string) string {
	tb.Helper()
	listener, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()                                               //nolint:errcheck // It may be gone.
				_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)) // It may be no request.
				if request := read(conn); request != "" {
					_, _ = io.WriteString(conn, answer(request)) // As above.
				}
			}()
		}
	}()
	return listener.Addr().String()
}

// read reads a request without its body.
func read(conn io.Reader) string {
	var head strings.Builder
	for in := bufio.NewReader(conn); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			return ""
		}
		if head.WriteString(line); line == "\r\n" {
			return head.String()
		}
	}
}
