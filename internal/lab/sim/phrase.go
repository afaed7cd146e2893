package sim

import "math"

// phrases are what rows are made of, escaped for JSON. They belong to a history, which hands them out as they are.
type phrases struct {
	words, texts, extras, customs         []string
	fromNames, targetNames, secs, millis  []string
	appKeyOther, admin, linkHost, section string
	// largest is the size of the largest file.
	largest uint64
}

// newPhrases has what a rich body needs, or leaves it out.
func newPhrases(rich bool) phrases {
	extras, largest := `{"k":"v"}`, uint64(math.MaxInt32)
	if rich {
		extras, largest = `{"k":"v","nested":{"a":[1,2,3],"id":9007199254740993}}`, 5_000_000_000
	}
	return phrases{
		words: []string{
			"好的,", "收到。", "明天", "今天晚上", "一起吃饭吧", "老地方见 ", "请问", "这个订单", "什么时候发货?", "谢谢!", "没问题,", "我看看",
			"会议", "改到下午三点 ", "资料发你了,", "辛苦了 ", "哈哈哈", "在吗?", "价格", "可以再便宜一点吗", "同事", "北京", "上海", "快递到了 ",
			"ok ", "see you ", "tomorrow ", "the order ", "please check ", "thanks, ", "meeting at ", "done. ", "why? ", "let me know ",
			"I will be ", "late ", "sure ", "never mind, ", "the quick brown fox ", "jumps over ", "🍜", "😀 ", "👍", "🎉 ", "v2.1 ", "100% ",
		},
		// What breaks careless readers: escapes, control characters, quotes, lines, HTML, and what lies outside of 16 bits.
		texts: []string{
			"", " ", "1", "null", "在吗?", "line one\\nline two\\r\\n\\ttabbed", "say \\\"hi\\\" \\\\ back\\\\", "\\u0001\\u001f\\b\\f\\u007f",
			"<b>bold & \\u003cscript\\u003ealert(1)</script></b>", "𝒎𝒂𝒕𝒉 and 👩‍👩‍👧‍👦 family 🇨🇳", "\\ud83d\\ude00 escaped, \\u4f60\\u597d", "http:\\/\\/example.com\\/a?b=c&d=%20",
			"\u2028 and \\u2029 end lines for some", "e\u0301 is not é", "\ufeff\u200b\u00a0", "{\\\"type\\\":1,\\\"msgid\\\":\\\"7\\\"}", "'; DROP TABLE messages; --",
			"@all 明天放假,请大家注意安全,提前做好工作安排。如有紧急情况请联系值班人员,电话见群公告。谢谢配合!",
		},
		extras: []string{
			`{}`, `{}`, `{}`, `{}`, `[]`, `{"level":3}`, `{"customMsgType":6,"customMsgBody":"{\"id\":\"75\",\"name\":\"x\"}"}`,
			extras, `{"版本":"2.1","empty":"","none":null,"yes":true}`, `{"ratio":0.10,"tiny":1E-7}`,
		},
		customs: []string{
			`"content_text":"id:75","key":"value"`,
			`"big":9223372036854775807,"unsigned":18446744073709551615,"small":-9223372036854775808`,
			`"exp":1.5e300,"Exp":-2.50E-10,"zero":0.0,"huge":123456789012345678901234567890`,
			`"nested":{"list":[{"a":null},true,"",[[]],{}],"空":"值"},"text":"no text message"`,
			`"type":"order","items":[{"sku":"A-1","n":2,"price":19.90},{"sku":"B\/2","n":1,"price":0.5}]`,
		},
		fromNames: []string{"", "", "nick", "张三", "李四 (Li Si)", "n", "custom name nnn", "😀 emoji", "O'Neil\\/x", "Tom \\\"T\\\""},
		targetNames: []string{
			"", "", "", "", "小明", "29.56160760,106.58279282", "Tom \\\"T\\\"", "客服中心",
		},
		secs:        []string{"a", "a", "i", "w"},
		millis:      []string{"web", "web", "j", "i", "x"},
		appKeyOther: "dcf71ef5082057832bd44fbd",
		admin:       "admin_01",
		linkHost:    "https://media.example.com/",
		section:     "xx省xx市xx区xx街道",
		largest:     largest,
	}
}
