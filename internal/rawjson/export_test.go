package rawjson

// LenientDecoder is a lenient reader that has jsontext read all of its input, for comparison.
func LenientDecoder() *Reader {
	r := Lenient()
	r.decodes = true
	return r
}
