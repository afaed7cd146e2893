package source

import (
	"strings"
	"testing"
)

func TestDecodeError(t *testing.T) {
	for _, test := range []struct {
		body    string
		code    int64
		message string
	}{
		{`{"error":{"code":899008,"message":"Basic authentication failed"}}`, 899008, "Basic authentication failed"},
		{`{"code":899003,"message":"parameter invalid!"}`, 899003, "parameter invalid!"},
		{`[{"error":{"code":899002,"message":"no such user"}}]`, 899002, "no such user"},
		{`[{"username":"x"},{"code":899006,"message":"m"},{"code":1}]`, 899006, "m"},
		{`{"error":{"code":"899081","message":"m"}}`, 899081, "m"},
		{`{"error":{"message":["m"],"code":2002}}`, 2002, ""},
		{`{"request":{"a":[1]},"error":{"message":"m","code":2003,"x":null}}`, 2003, "m"},
		{`{"code":899000`, 899000, ""},
		{`{"error":"text"}`, 0, ""},
		{`{"code":8.5}`, 0, ""},
		{`{"code":null}`, 0, ""},
		{`{"code":99999999999999999999}`, 0, ""},
		{`<html><body>502</body></html>`, 0, ""},
		{``, 0, ""},
		{`[]`, 0, ""},
		{`7`, 0, ""},
		// What people write in messages is no error of the API.
		{`{"total":1,"messages":[{"msg_body":{"code":899008,"error":{"code":899008}}}]`, 0, ""},
		{`[[[{"code":899008}]]]`, 0, ""},
		{`{"error":{"error":{"error":{"code":899008}}}}`, 0, ""},
		{strings.Repeat(`{"error":`, 100_000), 0, ""},
		{strings.Repeat(`[`, 100_000), 0, ""},
	} {
		if got := decodeError([]byte(test.body)); got.code != test.code || got.message != test.message {
			t.Errorf("%.100s: got %+v, want %d %q", test.body, got, test.code, test.message)
		}
	}
}

func FuzzDecodeError(f *testing.F) {
	f.Add([]byte(`{"error":{"code":899008,"message":"m"}}`))
	f.Add([]byte(`[{"code":"1"},{"code":2}]`))
	f.Add([]byte(`{"code":`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got := decodeError(body) // It ends.
		if len(got.message) > 3*len(body) {
			t.Errorf("the message is longer than the body: %q", got.message)
		}
	})
}
