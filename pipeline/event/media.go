package event

import "github.com/jmpub/jmpub/internal/rawjson"

// body has the members of a msg_body, or of one of its parts, that the event shows in a place of their own, as JSON; nil or
// empty where absent.
type body struct {
	text, mediaID, crc32, width, height, format, size, fileName, duration, hash, link []byte
	video, thumb                                                                      []byte
	latitude, longitude, scale, label                                                 []byte
}

// named finds the member by its name; nil where it has no place.
func (v *body) named(name []byte) *[]byte {
	switch string(name) {
	case "text":
		return &v.text
	case "media_id":
		return &v.mediaID
	case "media_crc32":
		return &v.crc32
	case "width":
		return &v.width
	case "height":
		return &v.height
	case "format":
		return &v.format
	case "fsize":
		return &v.size
	case "fname":
		return &v.fileName
	case "duration":
		return &v.duration
	case "hash":
		return &v.hash
	case "img_link":
		return &v.link
	case "video":
		return &v.video
	case "thumb":
		return &v.thumb
	case "latitude":
		return &v.latitude
	case "longitude":
		return &v.longitude
	case "scale":
		return &v.scale
	case "label":
		return &v.label
	default:
		return nil
	}
}

// read takes the members out of a value; one that is no object has none. A name that stands twice is taken as absent,
// because which one is meant is unknown; the body as a whole keeps both.
func (v *body) read(reader *rawjson.Reader, value []byte) {
	if !isObject(value) {
		return
	}
	openObject(reader, value)
	for m := (member{}); nextMember(reader, &m); {
		switch place := v.named(rawjson.Unquote(m.quoted)); {
		case place == nil:
		case *place != nil:
			*place = []byte{}
		default:
			*place = m.value
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
		return appendString(b, `"text":`, v.text)
	case "image", "voice", "file":
		v.read(reader, value)
		start := len(b)
		b = append(b, `"media":[`...)
		b = v.appendMedium(b, string(msgType))
		return closeList(b, start, `"media":[`, ']')
	case "video":
		v.read(reader, value)
		return v.appendVideo(reader, b)
	case "location":
		v.read(reader, value)
		start := len(b)
		b = append(b, `"location":{`...)
		b = appendNumber(b, `"latitude":`, v.latitude)
		b = appendNumber(b, `"longitude":`, v.longitude)
		b = appendNumber(b, `"scale":`, v.scale)
		b = appendString(b, `"label":`, v.label)
		return closeList(b, start, `"location":{`, '}')
	default:
		return b
	}
}

// appendVideo writes a video as its two parts. It has no media_id of its own; its duration stands next to the parts.
func (v *body) appendVideo(reader *rawjson.Reader, b []byte) []byte {
	start := len(b)
	b = append(b, `"media":[`...)
	if isObject(v.video) {
		var video body
		video.read(reader, v.video)
		if isNumber(v.duration) {
			video.duration = v.duration
		}
		b = video.appendMedium(b, "video")
	}
	var thumb body
	thumb.read(reader, v.thumb)
	b = thumb.appendMedium(b, "image")
	return closeList(b, start, `"media":[`, ']')
}

// appendMedium writes one element of media, or nothing where the part has no member of one. The API gives a link to
// few media only; `url` stands for the others too, so that a consumer has one place to look and to fill.
func (v *body) appendMedium(b []byte, kind string) []byte {
	start := len(b)
	b = append(b, '{')
	b = appendString(b, `"media_id":`, v.mediaID)
	b = append(b, `"kind":"`...)
	b = append(b, kind...)
	b = append(b, `",`...)
	b = appendString(b, `"format":`, v.format)
	b = appendNumber(b, `"size":`, v.size)
	b = appendNumber(b, `"crc32":`, v.crc32)
	b = appendNumber(b, `"width":`, v.width)
	b = appendNumber(b, `"height":`, v.height)
	b = appendNumber(b, `"duration":`, v.duration)
	b = appendString(b, `"name":`, v.fileName)
	b = appendString(b, `"hash":`, v.hash)
	switch bare := start + len(`{"kind":"",`) + len(kind); {
	case isString(v.link):
		b = appendString(b, `"url":`, v.link)
	case len(b) == bare:
		return b[:start]
	default:
		b = append(b, `"url":null,`...)
	}
	b[len(b)-1] = '}'
	return append(b, ',')
}

func appendString(b []byte, name string, value []byte) []byte {
	if !isString(value) {
		return b
	}
	return appendMember(b, name, value)
}

func appendNumber(b []byte, name string, value []byte) []byte {
	if !isNumber(value) {
		return b
	}
	return appendMember(b, name, value)
}

// appendMember writes a member whose name is given with its quotes and colon.
func appendMember(b []byte, name string, value []byte) []byte {
	b = append(b, name...)
	b = append(b, value...)
	return append(b, ',')
}
