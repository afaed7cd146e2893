// Package rawjson reads JSON that somebody else wrote, value by value, and gives each value as it stands in the input: no
// number is rounded, no text rewritten, nothing copied.
package rawjson

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// ErrTrailing is that something follows the value that should be all of the input.
var ErrTrailing = errors.New("another value follows the first")

// Reader walks through one JSON value after another, the way they stand in the input.
//
//	r.Open(input)
//	for r.Enter('{'); r.Member(); {
//		switch string(r.Name()) {
//		case "total":
//			total = r.Value()
//		default:
//			r.Skip()
//		}
//	}
//	r.End()
//	return r.Err()
//
// What it returns is a part of the input, with no room behind it, and stays valid for as long as the input is not changed. The
// first error stays: from then on every method returns a zero value and every walk ends, so that it has to be looked at only
// at the end. Not safe for concurrent use; may be used again for another input.
type Reader struct {
	input []byte
	// walk goes through the input as far as it can; once decoding is set, the decoder has gone on from there.
	walk     walk
	decoding bool
	// decodes tells that the decoder reads all of it, by the rules of strict readers where strict is set.
	decodes, strict bool
	// buffer lets the decoder read the input where it is.
	buffer  bytes.Buffer
	decoder jsontext.Decoder
	// The name of the last member begins and ends here, in its quotes; it ends at 0 where there is none.
	nameBegin, nameEnd int
	err                error
}

// Strict makes a reader that takes what RFC 8259 recommends: valid UTF-8, and each name once in an object.
func Strict() *Reader { return &Reader{decodes: true, strict: true} }

// Lenient makes a reader that takes all that RFC 8259 allows: names may stand more than once, and an escaped lone surrogate
// (`\ud83d`), which a sender makes who cuts a text within an emoji, is a string too. Bytes that are no UTF-8 pass; who cares
// checks them before.
func Lenient() *Reader { return &Reader{} }

func lenient() []jsontext.Options {
	return []jsontext.Options{
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true), jsontext.PreserveRawStrings(true),
	}
}

func (r *Reader) options() []jsontext.Options {
	if r.strict {
		return nil
	}
	return lenient()
}

// Open begins with an input.
func (r *Reader) Open(input []byte) {
	if r.decoding { // It holds the input before.
		r.openDecoder(nil)
	}
	r.input, r.nameBegin, r.nameEnd, r.err = input, 0, 0, nil
	r.walk, r.decoding = walk{input: input}, false
	if r.decodes {
		r.decode()
	}
}

func (r *Reader) openDecoder(input []byte) {
	r.buffer = *bytes.NewBuffer(input)
	r.decoder.Reset(&r.buffer, r.options()...)
}

// decode hands over to the decoder, and brings it to where the walk stands.
func (r *Reader) decode() {
	r.openDecoder(r.input)
	r.decoding = true
	for r.err == nil && int(r.decoder.InputOffset()) < r.walk.end {
		_, r.err = r.decoder.ReadToken() // Without an error, because the walk passes over nothing else.
	}
}

// Release forgets the input, so that its memory is not kept alive.
func (r *Reader) Release() { r.Open(nil) }

// Err is the first error; nil as long as there is none. What it quotes of the input is short.
func (r *Reader) Err() error { return r.err }

// short says where the JSON is broken. What jsontext adds to that, names and the path to the place, may be of any length.
func short(err error) error {
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok && syntax.Err != nil {
		return fmt.Errorf("byte %d: %w", syntax.ByteOffset, syntax.Err)
	}
	return err
}

// Fail makes an error of the caller's the reader's, unless there is one already; nil is none.
func (r *Reader) Fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// Kind is the first byte of the value that comes next, '0' for every number, or of the bracket that closes what the reader is
// in. It is 0 where there is neither.
func (r *Reader) Kind() jsontext.Kind {
	if r.err != nil {
		return jsontext.KindInvalid
	}
	if !r.decoding {
		if i := r.walk.next(); i < len(r.input) {
			return jsontext.Value(r.input[i:]).Kind()
		}
		r.decode()
	}
	return r.decoder.PeekKind()
}

// Offset is where in the input the last value, name or bracket ends. It stays where it was when reading fails.
func (r *Reader) Offset() int {
	if r.decoding {
		return int(r.decoder.InputOffset())
	}
	return r.walk.end
}

// Enter moves into the object ('{') or array ('[') that has to come next.
func (r *Reader) Enter(kind jsontext.Kind) {
	if r.err != nil {
		return
	}
	if !r.decoding {
		if r.walk.enter(byte(kind)) {
			return
		}
		r.decode()
	}
	token, err := r.decoder.ReadToken()
	switch {
	case errors.Is(err, io.EOF):
		r.err = io.ErrUnexpectedEOF
	case err != nil:
		r.err = short(err)
	case token.Kind() != kind:
		r.err = fmt.Errorf("%s stands where %s should", token.Kind(), kind)
	}
}

// Member moves to the next member of an object, whose value has to be read then, or out of the object.
func (r *Reader) Member() bool {
	if !r.Element() {
		return false
	}
	name := r.Value()
	r.nameBegin, r.nameEnd = r.Offset()-len(name), r.Offset()
	if r.err != nil {
		r.nameBegin, r.nameEnd = 0, 0
	}
	return r.err == nil
}

// MemberValue moves to the next member of an object and reads its value, or moves out of the object. It is [Reader.Member] and [Reader.Value] in
// one, and faster.
func (r *Reader) MemberValue() (value []byte, ok bool) {
	if r.err == nil && !r.decoding {
		if name, nameEnd, begin, ok := r.walk.member(); ok {
			r.nameBegin, r.nameEnd = name, nameEnd
			return r.input[begin:r.walk.end:r.walk.end], true
		}
	}
	if !r.Member() {
		return nil, false
	}
	value = r.Value()
	return value, r.err == nil
}

// IsCompact tells that the value that was read last has no white space in it that means nothing. It may have none either where this is
// false.
func (r *Reader) IsCompact() bool { return !r.decoding && !r.walk.spaced }

// Element tells whether an array has one more element, which has to be read then, and otherwise moves out of it. Where the JSON
// is broken it says yes, and reading the element fails.
func (r *Reader) Element() bool {
	if r.err != nil {
		return false
	}
	if !r.decoding {
		if more, ok := r.walk.leave(); ok {
			return more
		}
		r.decode()
	}
	if kind := r.decoder.PeekKind(); kind != ']' && kind != '}' {
		return true
	}
	_, err := r.decoder.ReadToken()
	r.err = short(err)
	return false
}

// Name is the decoded name of the member that Member moved to; nil where it is no text (see [Unquote]).
func (r *Reader) Name() []byte { return Unquote(r.QuotedName()) }

// QuotedName is the name as it stands in the input.
func (r *Reader) QuotedName() []byte {
	if r.nameEnd == 0 {
		return nil
	}
	return r.input[r.nameBegin:r.nameEnd:r.nameEnd]
}

// NameOffset is where in the input the last name ends.
func (r *Reader) NameOffset() int { return r.nameEnd }

// Value reads the next value, whatever it is.
func (r *Reader) Value() []byte {
	if r.err != nil {
		return nil
	}
	if !r.decoding {
		if begin, ok := r.walk.value(); ok {
			return r.input[begin:r.walk.end:r.walk.end]
		}
		r.decode()
	}
	value, err := r.decoder.ReadValue()
	if err != nil {
		r.err = short(err)
		return nil
	}
	end := int(r.decoder.InputOffset())
	return r.input[end-len(value) : end : end]
}

// Skip passes over the next value.
func (r *Reader) Skip() { r.Value() }

// End makes sure that nothing follows.
func (r *Reader) End() {
	if r.err != nil {
		return
	}
	if !r.decoding {
		if r.walk.depth == 0 && r.walk.next() == len(r.input) {
			return
		}
		r.decode()
	}
	if _, err := r.decoder.ReadToken(); !errors.Is(err, io.EOF) {
		if r.err = short(err); err == nil {
			r.err = ErrTrailing
		}
	}
}

// AppendCompact appends a value without its insignificant whitespace, by the reader's rules. It leaves the reader where it is.
func (r *Reader) AppendCompact(dst, value []byte) ([]byte, error) {
	if !r.strict && isValue(value) {
		return appendCompact(dst, value), nil
	}
	return jsontext.AppendFormat(dst, value, r.options()...)
}

// Depth is how deep a value nests: 0 for what is no object or array. Of broken JSON it is that of the part that can be read.
func Depth(value []byte) int {
	deepest := 0
	decoder := jsontext.NewDecoder(bytes.NewBuffer(value), lenient()...)
	for {
		if _, err := decoder.ReadToken(); err != nil {
			return deepest
		}
		deepest = max(deepest, decoder.StackDepth())
	}
}

// Unquote decodes a JSON string that was read; one without escapes is a part of it. It returns nil for any other value, and for
// a string with an escaped lone surrogate, which is no text.
func Unquote(value []byte) []byte {
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
