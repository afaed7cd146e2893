package main

import (
	"bytes"
	"fmt"
	"iter"
	"math/rand/v2"
	"sort"
	"strings"
	"time"

	"github.com/jmpub/jmpub/internal/lab/verify"
)

// step lies between two rows: 20 a second, so that a window of ten pages is some minutes long.
const step = 50 * time.Millisecond

const (
	appKey       = "4f7aef34fb361292c566a1cd"
	masterSecret = "BenchMasterSecret0000001"
	firstMsgID   = 2_456_348_996
)

// history is what the API holds: n rows of one size, one each step. It is a pure function of begin, n and size.
type history struct {
	begin   time.Time
	n, size int
	// words are what messages are made of; room is how many bytes of them make a row of a target_type as long as all others.
	words []string
	room  map[string]int
}

// newHistory has its last row before end, which is in whole seconds.
func newHistory(n, size int, end time.Time) (*history, error) {
	h := &history{begin: end.Add(-time.Duration(n) * step), n: n, size: size, room: make(map[string]int)}
	h.words = strings.Fields("今天 晚上 我们 请问 这个 订单 什么 时候 发货 已经 收到 谢谢 明天 再说 可以 不行 多少 客服 hello ok price order 100 v2 ? ...")
	for i := range 5 { // A number has the same length in each row.
		h.room[target(i)] = size - len(h.appendFrame(nil, i, ""))
		if n < 1 || h.room[target(i)] < 1 {
			return nil, fmt.Errorf("%d rows of %d bytes: want at least one, of at least %d", n, size, size-h.room[target(i)]+1)
		}
	}
	return h, nil
}

func (h *history) time(i int) time.Time { return h.begin.Add(time.Duration(i) * step) }

// last is the second of the last row: what ends there or later is all of the history.
func (h *history) last() time.Time { return h.time(h.n - 1).Truncate(time.Second) }

// search is the index of the first row that is not before t.
func (h *history) search(t time.Time) int {
	return sort.Search(h.n, func(i int) bool { return !h.time(i).Before(t) })
}

func target(i int) string {
	if i%5 < 3 {
		return "group"
	}
	return "single"
}

// appendRow appends the i-th row, which is as those of the API are; only its text makes it as long as all others.
func (h *history) appendRow(dst []byte, i int) []byte {
	room := h.room[target(i)]
	r := rand.New(rand.NewPCG(uint64(i), 0)) //nolint:gosec // The same rows each time.
	text := make([]byte, 0, 2*h.size)
	for len(text) < room {
		word := h.words[r.IntN(len(h.words))]
		if len(text)+len(word) > room {
			word = strings.Repeat(".", room-len(text))
		}
		text = append(text, word...)
	}
	return h.appendFrame(dst, i, string(text))
}

func (h *history) appendFrame(dst []byte, i int, text string) []byte {
	at := h.time(i)
	return fmt.Appendf(dst, `{"set_from_name":1,"from_platform":"a","target_name":"","msg_type":"text","version":1,"target_id":"%d",`+
		`"from_appkey":"%s","from_name":"","from_id":"user_%04d","msg_body":{"text":"%s","extras":{"level":%d}},"create_time":%d,`+
		`"from_type":"user","target_appkey":"","target_type":"%s","msgid":%d,"msg_ctime":%d,"msg_level":0}`,
		10_055_201+i%97, appKey, i*7919%10_000, text, i%8, at.Unix(), target(i), firstMsgID+int64(i), at.UnixMilli())
}

// render is all rows, each with a comma behind it.
func (h *history) render() []byte {
	text := make([]byte, 0, h.n*(h.size+1))
	for i := range h.n {
		text = append(h.appendRow(text, i), ',')
	}
	return text
}

// truth is what the topics have to hold.
func (h *history) truth() iter.Seq[verify.TruthRow] {
	return func(yield func(verify.TruthRow) bool) {
		for i := range h.n {
			row := verify.TruthRow{MsgID: firstMsgID + int64(i), HasMsgID: true, Target: target(i), Row: bytes.Clone(h.appendRow(nil, i))}
			if !yield(row) {
				return
			}
		}
	}
}
