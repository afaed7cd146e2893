package pipeline

import "github.com/go-json-experiment/json/jsontext"

// derived writes what is taken out of the body for convenience: text, media, location. The body itself stays whole, so
// nothing here needs to be reversible; what has an unexpected type is left out.
func (f *fields) derived(b, msgType, body []byte) []byte {
	if len(body) == 0 || body[0] != '{' {
		return b
	}
	switch kind := string(msgType); kind {
	case "text":
		if text := member(body, "text"); isString(text) {
			b = append(append(b, `,"text":`...), text...)
		}
	case "image", "voice", "file":
		b = append(b, `,"media":[`...)
		before := len(b)
		if b = appendMedia(b, kind, body, nil); len(b) == before {
			return b[:before-len(`,"media":[`)]
		}
		b = append(b, ']')
	case "video":
		b = appendVideo(b, body)
	case "location":
		b = appendLocation(b, body)
	}
	return b
}

// member finds a value by its name; nil where it is absent. Of two with the same name the last one counts, as most
// readers of JSON have it.
func member(object []byte, name string) []byte {
	var found []byte
	for quoted, value := range members(object) {
		if len(quoted) == len(name)+2 && string(quoted[1:len(quoted)-1]) == name {
			found = value
		}
	}
	return found
}

// appendVideo writes a video's two parts. The duration stands in the body, beside them.
func appendVideo(b, body []byte) []byte {
	before := len(b)
	b = append(b, `,"media":[`...)
	start := len(b)
	if video := member(body, "video"); len(video) > 0 && video[0] == '{' {
		b = appendMedia(b, "video", video, member(body, "duration"))
	}
	if thumb := member(body, "thumb"); len(thumb) > 0 && thumb[0] == '{' {
		if len(b) > start {
			b = append(b, ',')
		}
		b = appendMedia(b, "image", thumb, nil)
	}
	if len(b) == start {
		return b[:before]
	}
	return append(b, ']')
}

// mediaField maps a member of a body to one of a medium.
type mediaField struct {
	from, to string
	number   bool
}

func mediaFields() [9]mediaField {
	return [9]mediaField{
		{"format", `,"format":`, false},
		{"fsize", `,"size":`, true},
		{"media_crc32", `,"crc32":`, true},
		{"width", `,"width":`, true},
		{"height", `,"height":`, true},
		{"duration", `,"duration":`, true},
		{"fname", `,"name":`, false},
		{"hash", `,"hash":`, false},
		{"img_link", `,"url":`, false},
	}
}

// appendMedia writes one medium, or nothing where the part has no media_id.
func appendMedia(b []byte, kind string, part, duration []byte) []byte {
	var values [9][]byte
	var id []byte
	table := mediaFields()
	for quoted, value := range members(part) {
		name := string(quoted[1 : len(quoted)-1])
		if name == "media_id" {
			id = value
			continue
		}
		for i := range table {
			if table[i].from == name {
				values[i] = value
			}
		}
	}
	if !isString(id) {
		return b
	}
	const durationAt, urlAt = 5, 8
	if values[durationAt] == nil {
		values[durationAt] = duration
	}
	b = append(append(b, `{"media_id":`...), id...)
	b = append(append(append(b, `,"kind":"`...), kind...), '"')
	for i, value := range values[:urlAt] {
		if table[i].number && isNumber(value) || !table[i].number && isString(value) {
			b = append(append(b, table[i].to...), value...)
		}
	}
	b = append(b, table[urlAt].to...)
	if isString(values[urlAt]) {
		b = append(b, values[urlAt]...)
	} else {
		b = append(b, "null"...)
	}
	return append(b, '}')
}

// appendLocation writes a location's numbers as they are written: a sample has a latitude of 111.2, so nothing is
// checked for its range.
func appendLocation(b, body []byte) []byte {
	before := len(b)
	b = append(b, `,"location":{`...)
	start := len(b)
	for _, name := range []string{"latitude", "longitude", "scale", "label"} {
		value := member(body, name)
		if !isNumber(value) && (name != "label" || !isString(value)) {
			continue
		}
		if len(b) > start {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), name...), '"', ':')
		b = append(b, value...)
	}
	if len(b) == start {
		return b[:before]
	}
	return append(b, '}')
}

func isNumber(value []byte) bool {
	return len(value) > 0 && (value[0] == '-' || '0' <= value[0] && value[0] <= '9')
}

// appendQuoted writes a string. It is valid UTF-8, or holds what a lone surrogate escape became, which is replaced.
func appendQuoted(b, text []byte) []byte {
	quoted, err := jsontext.AppendQuote(b, text)
	if err != nil && len(quoted) == len(b) {
		return append(b, `""`...)
	}
	return quoted
}
