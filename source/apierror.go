package source

import (
	"bytes"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
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
		899007, // no authentication
		899008, // wrong authentication
		899009, // no such app key
		899020: // another app's key
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
	dec := jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	return readError(dec, maxErrorDepth)
}

// readError reads one value. Broken JSON ends it with what was found until then.
func readError(dec *jsontext.Decoder, depth int) apiError {
	var found apiError
	opening := dec.PeekKind()
	if depth == 0 || opening != '{' && opening != '[' {
		_ = dec.SkipValue() // A decoder that failed says so again in the next call.
		return found
	}
	if _, err := dec.ReadToken(); err != nil {
		return found
	}
	for {
		switch dec.PeekKind() {
		case '}', ']':
			_, _ = dec.ReadToken()
			return found
		case jsontext.KindInvalid:
			return found
		default:
			found.readNext(dec, opening, depth)
		}
	}
}

// readNext reads an object's member or an array's element.
func (e *apiError) readNext(dec *jsontext.Decoder, opening jsontext.Kind, depth int) {
	if opening == '{' {
		e.readMember(dec, depth)
	} else if next := readError(dec, depth-1); e.code == 0 {
		*e = next
	}
}

// readMember reads a member of an error object. Where it fails, so does whatever the decoder is asked next.
func (e *apiError) readMember(dec *jsontext.Decoder, depth int) {
	name, err := dec.ReadToken()
	if err != nil {
		return
	}
	switch name.String() {
	case "error":
		if inner := readError(dec, depth-1); inner.code != 0 {
			*e = inner
		}
	case "code":
		if value, err := dec.ReadValue(); err == nil {
			if code, err := strconv.ParseInt(string(bytes.Trim(value, `"`)), 10, 64); err == nil {
				e.code = code
			}
		}
	case "message":
		if dec.PeekKind() != '"' {
			_ = dec.SkipValue()
		} else if text, err := dec.ReadToken(); err == nil {
			e.message = text.String()
		}
	default:
		_ = dec.SkipValue()
	}
}
