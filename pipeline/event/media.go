package event

import "github.com/jmpub/jmpub/internal/rawjson"

// bodyField is a member of a msg_body, or of one of its parts, that the event shows in a place of its own.
type bodyField uint8

const (
	bodyText bodyField = iota
	bodyMediaID
	bodyCRC32
	bodyWidth
	bodyHeight
	bodyFormat
	bodySize
	bodyFileName
	bodyDuration
	bodyHash
	bodyLink
	bodyVideo
	bodyThumb
	bodyLatitude
	bodyLongitude
	bodyScale
	bodyLabel
	bodyFieldCount
)

// bodyFieldOf finds the member by its name; bodyFieldCount where it has no place.
func bodyFieldOf(name []byte) bodyField {
	switch string(name) {
	case "text":
		return bodyText
	case "media_id":
		return bodyMediaID
	case "media_crc32":
		return bodyCRC32
	case "width":
		return bodyWidth
	case "height":
		return bodyHeight
	case "format":
		return bodyFormat
	case "fsize":
		return bodySize
	case "fname":
		return bodyFileName
	case "duration":
		return bodyDuration
	case "hash":
		return bodyHash
	case "img_link":
		return bodyLink
	case "video":
		return bodyVideo
	case "thumb":
		return bodyThumb
	case "latitude":
		return bodyLatitude
	case "longitude":
		return bodyLongitude
	case "scale":
		return bodyScale
	case "label":
		return bodyLabel
	default:
		return bodyFieldCount
	}
}

// body has the members of a msg_body, or of one of its parts, as JSON; nil where absent. A name that stands twice is
// taken as absent, because which one is meant is unknown; the body as a whole keeps both.
type body [bodyFieldCount][]byte

// read takes the members out of a value; one that is no object has none.
func (v *body) read(reader *rawjson.Reader, value []byte) {
	if !isObject(value) {
		return
	}
	var seen uint32
	openObject(reader, value)
	for m := (member{}); nextMember(reader, &m); {
		f := bodyFieldOf(rawjson.Unquote(m.quoted))
		switch {
		case f == bodyFieldCount:
		case seen&(1<<f) != 0:
			v[f] = nil
		default:
			seen |= 1 << f
			v[f] = m.value
		}
	}
}

// appendDerived writes what an event shows of its body in addition to the body itself: text, media, location. The body is whole
// without them, so they need not be rebuilt, and what has an unexpected type is left out. Numbers and strings stand as
// the sender wrote them; nothing is checked for its range.
func appendDerived(reader *rawjson.Reader, b, msgType, value []byte) []byte {
	var v body
	switch string(msgType) {
	case "text":
		v.read(reader, value)
		return v.appendString(b, `"text":`, bodyText)
	case "image", "voice", "file":
		v.read(reader, value)
		start := len(b)
		b = append(b, `"media":[`...)
		b = v.appendMedium(b, string(msgType))
		return closeArray(b, start, `"media":[`)
	case "video":
		v.read(reader, value)
		return v.appendVideo(reader, b)
	case "location":
		v.read(reader, value)
		start := len(b)
		b = append(b, `"location":{`...)
		b = v.appendNumber(b, `"latitude":`, bodyLatitude)
		b = v.appendNumber(b, `"longitude":`, bodyLongitude)
		b = v.appendNumber(b, `"scale":`, bodyScale)
		b = v.appendString(b, `"label":`, bodyLabel)
		return closeObject(b, start, `"location":{`)
	default:
		return b
	}
}

// appendVideo writes a video as its two parts. It has no media_id of its own; its duration stands next to the parts.
func (v *body) appendVideo(reader *rawjson.Reader, b []byte) []byte {
	start := len(b)
	b = append(b, `"media":[`...)
	if isObject(v[bodyVideo]) {
		var video body
		video.read(reader, v[bodyVideo])
		if isNumber(v[bodyDuration]) {
			video[bodyDuration] = v[bodyDuration]
		}
		b = video.appendMedium(b, "video")
	}
	var thumb body
	thumb.read(reader, v[bodyThumb])
	b = thumb.appendMedium(b, "image")
	return closeArray(b, start, `"media":[`)
}

// appendMedium writes one element of media, or nothing where the part has no member of one. The API gives a link to
// few media only; `url` stands for the others too, so that a consumer has one place to look and to fill.
func (v *body) appendMedium(b []byte, kind string) []byte {
	start := len(b)
	b = append(b, '{')
	b = v.appendString(b, `"media_id":`, bodyMediaID)
	b = append(b, `"kind":"`...)
	b = append(b, kind...)
	b = append(b, `",`...)
	b = v.appendString(b, `"format":`, bodyFormat)
	b = v.appendNumber(b, `"size":`, bodySize)
	b = v.appendNumber(b, `"crc32":`, bodyCRC32)
	b = v.appendNumber(b, `"width":`, bodyWidth)
	b = v.appendNumber(b, `"height":`, bodyHeight)
	b = v.appendNumber(b, `"duration":`, bodyDuration)
	b = v.appendString(b, `"name":`, bodyFileName)
	b = v.appendString(b, `"hash":`, bodyHash)
	switch bare := start + len(`{"kind":"",`) + len(kind); {
	case isString(v[bodyLink]):
		b = v.appendString(b, `"url":`, bodyLink)
	case len(b) == bare:
		return b[:start]
	default:
		b = append(b, `"url":null,`...)
	}
	b[len(b)-1] = '}'
	return append(b, ',')
}

// closeArray ends the array that was begun at start with open, and takes it back if it has no element.
func closeArray(b []byte, start int, open string) []byte {
	if len(b) == start+len(open) {
		return b[:start]
	}
	b[len(b)-1] = ']'
	return append(b, ',')
}

func (v *body) appendString(b []byte, name string, f bodyField) []byte {
	if !isString(v[f]) {
		return b
	}
	return appendMember(b, name, v[f])
}

func (v *body) appendNumber(b []byte, name string, f bodyField) []byte {
	if !isNumber(v[f]) {
		return b
	}
	return appendMember(b, name, v[f])
}

// appendMember writes a member whose name is given with its quotes and colon.
func appendMember(b []byte, name string, value []byte) []byte {
	b = append(b, name...)
	b = append(b, value...)
	return append(b, ',')
}
