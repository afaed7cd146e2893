package event

import (
	"bytes"
	"errors"
	"io"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// asWritten lets jsontext keep what RFC 8259 allows. Duplicate names in a body are the sender's business. An escaped lone
// surrogate (`\ud83d`) is what a sender makes who cuts a text within an emoji, and for that a message must not be kept from
// its topic; AllowInvalidUTF8 is about those alone, because the bytes are checked before.
func asWritten() []jsontext.Options {
	return []jsontext.Options{
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true), jsontext.PreserveRawStrings(true),
	}
}

var (
	errUTF8    = errors.New("not valid UTF-8")
	errObject  = errors.New("not an object")
	errTrailer = errors.New("another value follows the first")
)

// objectReader reads the members of objects, one object after another. The zero value is not ready: see newObjectReader.
type objectReader struct {
	json    []byte
	buffer  bytes.Buffer
	decoder jsontext.Decoder
	options []jsontext.Options
	// err is why the last object could not be read; nil where it could.
	err error
}

func newObjectReader() *objectReader { return &objectReader{options: asWritten()} }

// member is a member of an object, as written.
type member struct {
	// quoted is the name in its quotes.
	quoted, value []byte
	// field is set by what reads a row.
	field field
}

// name is the decoded name. One that is no text is equal only to the same name.
func (m *member) name() []byte {
	if name := unquote(m.quoted); name != nil {
		return name
	}
	return append([]byte(noText), m.quoted...)
}

// noText begins a name that is no text, and stands in no text.
const noText = "\xff"

// open begins with an object, which next reads up to its end. What next returns is a part of json.
func (o *objectReader) open(json []byte) {
	o.json = json
	o.buffer = *bytes.NewBuffer(json) // The decoder reads it where it is.
	o.decoder.Reset(&o.buffer, o.options...)
	o.err = nil
	if o.decoder.PeekKind() == '{' {
		_, o.err = o.decoder.ReadToken()
		return
	}
	if _, o.err = o.decoder.ReadValue(); o.err == nil {
		o.end()
	}
	if o.err == nil {
		o.err = errObject
	}
}

// next reads a member. It returns false at the object's end and at an error, which is then in err.
func (o *objectReader) next(m *member) bool {
	if o.err != nil {
		return false
	}
	if o.decoder.PeekKind() == '}' {
		if _, o.err = o.decoder.ReadToken(); o.err == nil {
			o.end()
		}
		return false
	}
	if m.quoted, o.err = o.read(); o.err == nil {
		m.value, o.err = o.read()
	}
	return o.err == nil
}

// read returns the next value as a part of json, which outlives what the decoder returns.
func (o *objectReader) read() ([]byte, error) {
	value, err := o.decoder.ReadValue()
	end := int(o.decoder.InputOffset())
	return o.json[end-len(value) : end : end], err
}

// end makes sure that nothing follows the value.
func (o *objectReader) end() {
	if _, err := o.decoder.ReadToken(); !errors.Is(err, io.EOF) {
		o.err = err
		if err == nil {
			o.err = errTrailer
		}
	}
}

// release forgets the last object, so that its memory is not kept alive.
func (o *objectReader) release() {
	o.json = nil
	o.buffer = bytes.Buffer{}
	o.decoder.Reset(&o.buffer)
}

// compactJSON appends a JSON value (RFC 8259, UTF-8, at most 10,000 levels deep) as written, without its insignificant
// whitespace.
func compactJSON(dst, value []byte) ([]byte, error) {
	if !utf8.Valid(value) {
		return dst, errUTF8
	}
	return jsontext.AppendFormat(dst, value, asWritten()...)
}

// hasSpace tells whether a value may hold insignificant whitespace. A blank may also stand in one of its strings.
func hasSpace(value []byte) bool {
	return (isObject(value) || isArray(value)) &&
		(bytes.IndexByte(value, ' ') >= 0 || bytes.IndexByte(value, '\n') >= 0 ||
			bytes.IndexByte(value, '\r') >= 0 || bytes.IndexByte(value, '\t') >= 0)
}

// depthOf is how deep a value that was read nests: 0 for a number.
func depthOf(value []byte) int {
	deepest := 0
	decoder := jsontext.NewDecoder(bytes.NewBuffer(value), asWritten()...)
	for {
		if _, err := decoder.ReadToken(); err != nil {
			return deepest
		}
		deepest = max(deepest, decoder.StackDepth())
	}
}

func isString(v []byte) bool { return len(v) > 0 && v[0] == '"' }
func isObject(v []byte) bool { return len(v) > 0 && v[0] == '{' }
func isArray(v []byte) bool  { return len(v) > 0 && v[0] == '[' }
func isNumber(v []byte) bool { return len(v) > 0 && (v[0] == '-' || isDigit(v[0])) }
func isDigit(c byte) bool    { return '0' <= c && c <= '9' }

// isDigits tells whether a value is a number of digits alone.
func isDigits(v []byte) bool {
	for _, c := range v {
		if !isDigit(c) {
			return false
		}
	}
	return len(v) > 0
}

// unquote decodes a JSON string; one without escapes is a part of it. It returns nil for a string with an escaped lone
// surrogate, which is no text.
func unquote(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	text, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil {
		return nil
	}
	return text
}
