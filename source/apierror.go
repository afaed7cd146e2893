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

// kindOf reads the API's codes (error code tables of IM REST; the rate codes are of the platform that it stands on); kindUnknown
// is what is none of them.
func kindOf(code int64) kind {
	return map[int64]kind{
		2001:         kindRateLimited,  // too many requests, older
		2002:         kindRateLimited,  // too many requests
		2003:         kindUnauthorized, // blacklisted
		899007:       kindUnauthorized, // no authentication
		899008:       kindUnauthorized, // wrong authentication
		899009:       kindUnauthorized, // no such app key
		codeOtherApp: kindUnauthorized, // another app's key
		899002:       kindGone,         // no such user
		899006:       kindGone,         // no such group
		899045:       kindGone,         // no such group
		899081:       kindGone,         // no such chatroom
		899000:       kindServerError,  // internal
		899030:       kindServerError,  // response time out
	}[code]
}

// isOwnCode tells the API's codes from those of a gateway, which likes to repeat the status as one.
func isOwnCode(code int64) bool {
	return code >= 2000 && code < 3000 || code >= 898_000 && code < 900_000
}

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
