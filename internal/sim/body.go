package sim

import "strconv"

// bodyKind draws a msg_type: mostly text, some of each other kind, and now and then one that nobody knows.
func bodyKind(r uint64) string {
	switch w := r & 0x7f; {
	case w < 84:
		return "text"
	case w < 98:
		return "image"
	case w < 105:
		return "voice"
	case w < 109:
		return "file"
	case w < 113:
		return "video"
	case w < 117:
		return "location"
	case w < 126:
		return "custom"
	default:
		return "poll"
	}
}

// texts are what people write, escaped for JSON.
func texts() [16]string {
	return [16]string{
		"hello", "在吗?", "好的,收到", "今天晚上一起吃饭吧 🍜 7点老地方见", "ok see you tomorrow at the usual place", "哈哈哈哈哈哈",
		"请问这个订单什么时候发货?订单号 20190322-0001,谢谢!", "line one\\nline two\\ttabbed", "say \\\"hi\\\" \\\\ back",
		"<b>bold & \\u003cscript\\u003ealert(1)</b>", "𝒎𝒂𝒕𝒉 and 👩‍👩‍👧‍👦 family", "http:\\/\\/example.com\\/a?b=c&d=%20",
		"The quick brown fox jumps over the lazy dog. 敏捷的棕色狐狸跳过了懒狗。 The quick brown fox jumps over the lazy dog.",
		"\\u4f60\\u597d", "@all 明天放假,请大家注意安全,提前做好工作安排。如有紧急情况请联系值班人员。", "1",
	}
}

// extras are what senders attach, raw.
func extras() [8]string {
	return [8]string{
		`{}`, `{}`, `{}`, `{"level":3}`, `{"customMsgType":6,"customMsgBody":"{\"id\":\"75\",\"name\":\"x\"}"}`, `[]`,
		`{"k":"v","nested":{"a":[1,2,3],"id":9007199254740993}}`, `{"trace":"0af7651916cd43dd8448eb211c80319c","版本":"2.1"}`,
	}
}

func appendBody(dst []byte, kind string, r uint64) []byte {
	n := func(below uint64) uint64 { r = mix(r); return r % below }
	number := func(key string, v uint64) {
		dst = append(append(dst, key...), strconv.FormatUint(v, 10)...)
	}
	media := func(folder string) {
		dst = append(append(append(dst, `"media_id":"qiniu/`...), folder...), '/')
		dst = strconv.AppendUint(dst, n(1<<62), 36)
		dst = strconv.AppendUint(dst, n(1<<62), 36)
		number(`","media_crc32":`, n(1<<32))
	}
	hash := func() { dst = append(dst, `,"hash":"FoYn15bAGRUM9gZCAkvf9dolVH7h"`...) }
	switch kind {
	case "text":
		table := texts()
		dst = append(append(append(dst, `{"text":"`...), table[n(16)]...), '"')
		if n(8) == 0 {
			dst = dst[:len(dst)-1]
			for range n(6) {
				dst = append(dst, table[n(16)]...)
			}
			dst = append(dst, '"')
		}
	case "image":
		dst = append(dst, '{')
		media("image/j")
		number(`,"width":`, 1+n(4000))
		number(`,"height":`, 1+n(4000))
		dst = append(dst, `,"format":"jpg"`...)
		number(`,"fsize":`, n(5_000_000))
		if n(4) == 0 {
			dst = append(dst, `,"img_link":"https://example.com/i.jpg"`...)
		}
	case "voice":
		dst = append(dst, '{')
		media("voice/a")
		number(`,"duration":`, 1+n(60))
		dst = append(dst, `,"format":"amr"`...)
		number(`,"fsize":`, n(100_000))
		hash()
	case "file":
		dst = append(dst, '{')
		media("file/j")
		dst = append(dst, `,"fname":"报告 v2.pdf"`...)
		number(`,"fsize":`, n(50_000_000))
		hash()
	case "video":
		number(`{"duration":`, n(300))
		if n(3) > 0 {
			dst = append(dst, `,"thumb":{`...)
			media("image/a")
			dst = append(dst, `,"format":"png","width":72,"height":72,"fsize":20736}`...)
		}
		dst = append(dst, `,"video":{`...)
		media("file/a")
		dst = append(dst, `,"fname":"testvideo","fsize":2900883}`...)
	case "location":
		dst = append(dst, `{"latitude":`...)
		if n(5) == 0 {
			dst = append(dst, "111.2"...)
		} else {
			dst = append(dst, "22.54"...)
		}
		dst = append(dst, `,"longitude":114.05,"scale":500,"label":"xx省xx市xx区xx街道"`...)
	case "custom":
		number(`{"content_text":"id:75","key":"value","big":9223372036854775807,"exp":1.5e300,"n":`, n(1<<63))
		return append(dst, `,"nested":{"list":[{"a":null},true,""],"空":"值"}}`...)
	default:
		number(`{"question":"?","options":["a","b"],"votes":`, n(100))
		return append(dst, '}')
	}
	table := extras()
	dst = append(append(dst, `,"extras":`...), table[n(8)]...)
	return append(dst, '}')
}
