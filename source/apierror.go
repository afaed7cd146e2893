package source

import (
	"bytes"
	"strconv"

	"github.com/jmpub/jmpub/internal/rawjson"
)

// kind is what a refusal is about.
type kind uint8

const (
	kindUnknown kind = iota
	kindRateLimited
	kindUnauthorized
	// kindGone is a user, group or room that the API does not know.
	kindGone
	kindServerError
	kindRedirect
	// kindOK is a status that promises a page.
	kindOK
)

// kindOf reads the API's codes (error code tables of IM REST; the rate codes are of the platform that it stands on).
func kindOf(code int64) kind {
	switch code {
	case 2001, // too many requests, older
		2002: // too many requests
		return kindRateLimited
	case 2003, // blacklisted
		899007,       // no authentication
		899008,       // wrong authentication
		899009,       // no such app key
		codeOtherApp: // another app's key
		return kindUnauthorized
	case 899002, // no such user
		899006, 899045, // no such group
		899081: // no such chatroom
		return kindGone
	case 899000, // internal
		899030: // response time out
		return kindServerError
	default:
		return kindUnknown
	}
}

// isDenied reports whether a code is about the credentials, which every request has.
func isDenied(code int64) bool { return kindOf(code) == kindUnauthorized && code != codeOtherApp }

// codeOtherApp is also what an app without a right might get.
const codeOtherApp = 899020

// apiError is what an error reply says; code is 0 where it says none.
type apiError struct {
	code    int64
	message string
}

// maxErrorDepth bounds how deep an error is looked for: array, object, error.
const maxErrorDepth = 3

// decodeError reads {"error":{"code","message"}}, the flat form, and arrays of either, of which the first with a code
// counts. A code may be a number or one in quotes. Anything else has no code.
func decodeError(body []byte) apiError {
	r := rawjson.Lenient()
	r.Open(body)
	return readError(r, maxErrorDepth)
}

// readError reads one value; what was found until the JSON broke counts.
func readError(r *rawjson.Reader, depth int) apiError {
	var found apiError
	switch kind := r.Kind(); {
	case depth > 0 && kind == '{':
		for r.Enter('{'); r.Member(); {
			found.readMember(r, depth)
		}
	case depth > 0 && kind == '[':
		for r.Enter('['); r.Element(); {
			if element := readError(r, depth-1); found.code == 0 {
				found = element
			}
		}
	default:
		r.Skip()
	}
	return found
}

// readMember reads a member of an error object.
func (e *apiError) readMember(r *rawjson.Reader, depth int) {
	switch string(r.Name()) {
	case "error":
		if inner := readError(r, depth-1); inner.code != 0 {
			*e = inner
		}
	case "code":
		if code, err := strconv.ParseInt(string(bytes.Trim(r.Value(), `"`)), 10, 64); err == nil {
			e.code = code
		}
	case "message":
		if text := rawjson.Unquote(r.Value()); text != nil {
			e.message = string(text)
		}
	default:
		r.Skip()
	}
}
