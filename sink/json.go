package sink

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// jsonReader walks through a JSON value, one value after another. The first error stays and ends every walk.
// The zero value works.
type jsonReader struct {
	// name is the member that [jsonReader.member] has found.
	name []byte
	err  error

	json    []byte
	buffer  bytes.Buffer
	decoder jsontext.Decoder
	options []jsontext.Options
}

// asWritten keeps what RFC 8259 allows in a sender's part of an event, as pipeline does.
func asWritten() []jsontext.Options {
	return []jsontext.Options{
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true), jsontext.PreserveRawStrings(true),
	}
}

// open begins with a value. What is read points into it.
func (r *jsonReader) open(json []byte) {
	if r.options == nil {
		r.options = asWritten()
	}
	r.json, r.err = json, nil
	r.buffer = *bytes.NewBuffer(json) // The decoder reads it where it is.
	r.decoder.Reset(&r.buffer, r.options...)
}

// enter moves into the object or array that comes next.
func (r *jsonReader) enter(kind jsontext.Kind) {
	if r.err != nil {
		return
	}
	token, err := r.decoder.ReadToken()
	if r.fail(err); r.err == nil && token.Kind() != kind {
		r.fail(fmt.Errorf("there is %v where %v has to be", token.Kind(), kind))
	}
}

// member moves to the next member of an object, whose value has to be read then, or out of the object.
func (r *jsonReader) member() bool {
	if r.element() {
		r.name = unquoted(r.value())
	}
	return r.err == nil && r.name != nil
}

// element tells whether an array has one more element, and otherwise moves out of it.
func (r *jsonReader) element() bool {
	r.name = nil
	if r.err != nil {
		return false
	}
	if kind := r.decoder.PeekKind(); kind != ']' && kind != '}' {
		return true
	}
	_, err := r.decoder.ReadToken()
	r.fail(err)
	return false
}

// value reads the next value, whatever it is.
func (r *jsonReader) value() []byte {
	if r.err != nil {
		return nil
	}
	value, err := r.decoder.ReadValue()
	r.fail(err)
	end := int(r.decoder.InputOffset())
	return r.json[end-len(value) : end : end]
}

// end makes sure that nothing follows.
func (r *jsonReader) end() {
	if r.err != nil {
		return
	}
	if _, err := r.decoder.ReadToken(); !errors.Is(err, io.EOF) {
		r.fail(errors.Join(err, errors.New("something follows the value")))
	}
}

// fail notes an error; nil is none.
func (r *jsonReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// unquoted is the text of a JSON string; nil for any other value, and for a string with an escaped lone surrogate, which is no
// text.
func unquoted(value []byte) []byte {
	if len(value) < len(`""`) || value[0] != '"' {
		return nil
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return value[1 : len(value)-1]
	}
	text, err := jsontext.AppendUnquote(nil, value)
	if err != nil {
		return nil
	}
	return text
}
