package sim

import "strconv"

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
		dst = appendNumber(dst, `,"width":`, 1+d.below(4000))
		dst = appendNumber(dst, `,"height":`, 1+d.below(4000))
		dst = append(dst, `,"format":"jpg"`...)
		dst = appendNumber(dst, `,"fsize":`, d.below(5_000_000))
		dst = appendHash(dst, d, 2)
		if d.oneIn(4) {
			dst = append(append(dst, `,"img_link":"`...), h.phrases.linkHost...)
			dst = append(strconv.AppendUint(dst, d.roll(), 36), `.jpg"`...)
		}
	case "voice":
		dst = appendMedia(dst, d, "voice/a", "")
		dst = appendNumber(dst, `,"duration":`, 1+d.below(60))
		if !d.oneIn(4) {
			dst = append(dst, `,"format":"amr"`...)
		}
		dst = appendNumber(dst, `,"fsize":`, d.below(100_000))
		dst = appendHash(dst, d, 2)
	case "file":
		dst = appendMedia(dst, d, "file/j", "")
		dst = append(dst, `,"fname":"报告 v2.pdf"`...)
		dst = appendNumber(dst, `,"fsize":`, d.below(5_000_000_000))
		dst = appendHash(dst, d, 2)
	case "video":
		dst = appendVideo(dst, d)
	case "location":
		dst = h.appendLocation(dst, d)
	case "custom":
		return h.appendCustom(dst, d)
	default:
		dst = append(dst, `"question":"?","options":["a","b"]`...)
		dst = appendNumber(dst, `,"votes":`, d.below(100))
	}
	if d.oneIn(24) {
		return append(dst, '}') // Without extras.
	}
	dst = append(dst, `,"extras":`...)
	if d.oneIn(4) {
		dst = strconv.AppendUint(append(dst, `{"trace":"`...), d.roll(), 16)
		return append(dst, `"}}`...)
	}
	return append(append(dst, choose(d, h.phrases.extras)...), '}')
}

func appendNumber(dst []byte, key string, v uint64) []byte {
	return strconv.AppendUint(append(dst, key...), v, 10)
}

// appendText writes what people say, and sometimes what breaks careless readers.
func (h *history) appendText(dst []byte, d *dice) []byte {
	dst = append(dst, `"text":"`...)
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
	dst = append(append(append(dst, `"media_id":"qiniu/`...), folder...), '/')
	dst = strconv.AppendUint(dst, d.roll()|1<<63, 16)
	dst = strconv.AppendUint(dst, d.roll()|1<<63, 16)
	dst = append(append(dst, ext...), '"')
	return appendNumber(dst, `,"media_crc32":`, d.below(1<<32))
}

// appendHash writes a hash, except once in n times.
func appendHash(dst []byte, d *dice, n uint64) []byte {
	if d.oneIn(n) {
		return dst
	}
	dst = strconv.AppendUint(append(dst, `,"hash":"Fo`...), d.roll(), 36)
	return append(strconv.AppendUint(dst, d.roll(), 36), '"')
}

// appendVideo writes a video, which has its media in parts; once in three times without a thumb.
func appendVideo(dst []byte, d *dice) []byte {
	dst = appendNumber(dst, `"duration":`, d.below(300))
	if !d.oneIn(3) {
		dst = appendMedia(append(dst, `,"thumb":{`...), d, "image/a", ".png")
		dst = append(dst, `,"format":"png","width":72,"height":72`...)
		dst = append(appendNumber(dst, `,"fsize":`, d.below(100_000)), '}')
	}
	dst = appendMedia(append(dst, `,"video":{`...), d, "file/a", "")
	return append(appendNumber(dst, `,"fname":"testvideo","fsize":`, d.below(50_000_000)), '}')
}

// appendLocation writes a place; some latitudes are none (the message protocol's own sample has 111.2).
func (h *history) appendLocation(dst []byte, d *dice) []byte {
	if d.oneIn(5) {
		dst = append(dst, `"latitude":111.2`...)
	} else {
		dst = append(appendNumber(dst, `"latitude":`, d.below(90)), '.')
		dst = strconv.AppendUint(dst, d.below(1_000_000), 10)
	}
	dst = append(appendNumber(dst, `,"longitude":-`, d.below(180)), '.')
	dst = strconv.AppendUint(dst, d.below(1_000_000), 10)
	dst = appendNumber(dst, `,"scale":`, 100+d.below(1000))
	return append(append(append(dst, `,"label":"`...), h.phrases.section...), '"')
}

// appendCustom writes what an app has thought of, in the whole body, and closes it.
func (h *history) appendCustom(dst []byte, d *dice) []byte {
	if d.oneIn(16) {
		return append(dst, '}')
	}
	dst = append(dst, choose(d, h.phrases.customs)...)
	return append(appendNumber(dst, `,"n":`, d.below(1<<63)), '}')
}
