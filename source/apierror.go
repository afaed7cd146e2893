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

// isDenied tells that a code is about the credentials, which every request has.
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
	r := errorReader{
		dec: jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)),
	}
	return r.value(maxErrorDepth)
}

// errorReader walks over an error reply. Broken JSON ends the walk: a decoder that failed makes no way any more.
type errorReader struct {
	dec    *jsontext.Decoder
	failed bool
}

func (r *errorReader) check(err error) bool {
	r.failed = r.failed || err != nil
	return err == nil
}

// value reads one value; what was found until the JSON broke counts.
func (r *errorReader) value(depth int) apiError {
	var found apiError
	opening := r.dec.PeekKind()
	if depth == 0 || opening != '{' && opening != '[' {
		r.check(r.dec.SkipValue())
		return found
	}
	if _, err := r.dec.ReadToken(); !r.check(err) {
		return found
	}
	for !r.failed {
		switch r.dec.PeekKind() {
		case '}', ']':
			_, err := r.dec.ReadToken()
			r.check(err)
			return found
		case jsontext.KindInvalid:
			r.failed = true
		default:
			r.next(&found, opening, depth)
		}
	}
	return found
}

// next reads an object's member or an array's element.
func (r *errorReader) next(found *apiError, opening jsontext.Kind, depth int) {
	if opening == '{' {
		r.member(found, depth)
	} else if element := r.value(depth - 1); found.code == 0 {
		*found = element
	}
}

// member reads a member of an error object.
func (r *errorReader) member(found *apiError, depth int) {
	name, err := r.dec.ReadToken()
	if !r.check(err) {
		return
	}
	switch name.String() {
	case "error":
		if inner := r.value(depth - 1); inner.code != 0 {
			*found = inner
		}
	case "code":
		value, err := r.dec.ReadValue()
		if !r.check(err) {
			return
		}
		if code, err := strconv.ParseInt(string(bytes.Trim(value, `"`)), 10, 64); err == nil {
			found.code = code
		}
	case "message":
		if r.dec.PeekKind() != '"' {
			r.check(r.dec.SkipValue())
			return
		}
		if text, err := r.dec.ReadToken(); r.check(err) {
			found.message = text.String()
		}
	default:
		r.check(r.dec.SkipValue())
	}
}
