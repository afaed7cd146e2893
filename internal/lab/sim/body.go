package sim

import "fmt"

// drawType draws a msg_type: mostly text, some of each other kind, and now and then one that nobody knows.
func drawType(d *dice) string {
	w := d.below(128)
	for _, t := range [...]struct {
		below uint64
		name  string
	}{{84, "text"}, {98, "image"}, {105, "voice"}, {109, "file"}, {113, "video"}, {117, "location"}, {126, "custom"}} {
		if w < t.below {
			return t.name
		}
	}
	return "poll"
}

// appendBody writes the value of msg_body (message protocol; REPORT_API, rows).
func (h *history) appendBody(dst []byte, r *draft) []byte {
	d := &r.d
	dst = append(dst, '{')
	switch r.msgType {
	case "text":
		dst = h.appendText(dst, d)
	case "image":
		dst = appendMedia(dst, d, "image/j", ".jpg")
		dst = fmt.Appendf(dst, `,"width":%d,"height":%d,"format":"jpg","fsize":%d`,
			1+d.below(4000), 1+d.below(4000), d.below(5_000_000))
		dst = appendHash(dst, d)
		if d.oneIn(4) {
			dst = fmt.Appendf(dst, `,"img_link":"%s%s.jpg"`, h.phrases.linkHost, d.base36())
		}
	case "voice":
		dst = appendMedia(dst, d, "voice/a", "")
		dst = fmt.Appendf(dst, `,"duration":%d`, 1+d.below(60))
		if !d.oneIn(4) {
			dst = append(dst, `,"format":"amr"`...)
		}
		dst = fmt.Appendf(dst, `,"fsize":%d`, d.below(100_000))
		dst = appendHash(dst, d)
	case "file":
		dst = appendMedia(dst, d, "file/j", "")
		dst = fmt.Appendf(dst, `,"fname":"报告 v2.pdf","fsize":%d`, d.below(h.phrases.largest))
		dst = appendHash(dst, d)
	case "video":
		dst = appendVideo(dst, d)
	case "location":
		dst = h.appendLocation(dst, d)
	case "custom":
		return h.appendCustom(dst, d)
	default:
		dst = fmt.Appendf(dst, `"question":"?","options":["a","b"],"votes":%d`, d.below(100))
	}
	if d.oneIn(24) {
		return append(dst, '}') // Without extras.
	}
	dst = append(dst, `,"extras":`...)
	if d.oneIn(4) {
		return fmt.Appendf(dst, `{"trace":"%x"}}`, d.roll())
	}
	return append(append(dst, choose(d, h.phrases.extras)...), '}')
}

// appendText writes what people say, and sometimes what breaks careless readers.
func (h *history) appendText(dst []byte, d *dice) []byte {
	dst = append(dst, `"text":"`...)
	if h.TextBytes > 0 {
		for end := len(dst) + int(d.below(uint64(h.TextBytes))); len(dst) < end; {
			dst = append(dst, choose(d, h.phrases.words)...)
		}
		return append(dst, '"')
	}
	if d.oneIn(6) {
		return append(append(dst, choose(d, h.phrases.texts)...), '"')
	}
	n := 1 + d.below(12)
	if d.oneIn(16) {
		n *= 8
	}
	for range n {
		dst = append(dst, choose(d, h.phrases.words)...)
	}
	return append(dst, '"')
}

// appendMedia writes media_id and media_crc32, which exceeds 31 bits.
func appendMedia(dst []byte, d *dice, folder, ext string) []byte {
	return fmt.Appendf(dst, `"media_id":"qiniu/%s/%x%x%s","media_crc32":%d`,
		folder, d.roll()|1<<63, d.roll()|1<<63, ext, d.below(1<<32))
}

// appendHash writes a hash every other time.
func appendHash(dst []byte, d *dice) []byte {
	if d.oneIn(2) {
		return dst
	}
	return fmt.Appendf(dst, `,"hash":"Fo%s%s"`, d.base36(), d.base36())
}

// appendVideo writes a video, which has its media in parts; once in three times without a thumb.
func appendVideo(dst []byte, d *dice) []byte {
	dst = fmt.Appendf(dst, `"duration":%d`, d.below(300))
	if !d.oneIn(3) {
		dst = appendMedia(append(dst, `,"thumb":{`...), d, "image/a", ".png")
		dst = fmt.Appendf(dst, `,"format":"png","width":72,"height":72,"fsize":%d}`, d.below(100_000))
	}
	dst = appendMedia(append(dst, `,"video":{`...), d, "file/a", "")
	return fmt.Appendf(dst, `,"fname":"testvideo","fsize":%d}`, d.below(50_000_000))
}

// appendLocation writes a place; some latitudes are none (the message protocol's own sample has 111.2).
func (h *history) appendLocation(dst []byte, d *dice) []byte {
	latitude := "111.2"
	if !d.oneIn(5) {
		latitude = fmt.Sprintf("%d.%d", d.below(90), d.below(1_000_000))
	}
	return fmt.Appendf(dst, `"latitude":%s,"longitude":-%d.%d,"scale":%d,"label":"%s"`,
		latitude, d.below(180), d.below(1_000_000), 100+d.below(1000), h.phrases.section)
}

// appendCustom writes what an app has thought of, in the whole body, and closes it.
func (h *history) appendCustom(dst []byte, d *dice) []byte {
	if d.oneIn(16) {
		return append(dst, '}')
	}
	return fmt.Appendf(dst, `%s,"n":%d}`, choose(d, h.phrases.customs), d.below(1<<63))
}
