package checkpoint

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
)

// ids are ascending numbers. As JSON they are the first one and then the difference of each to the one before:
// [2456348996, 1, 12] is 2456348996, 2456348997, 2456349009. The ids of one second lie close together or share their
// high digits, so differences are short. The first may be negative, the differences are positive and below 2^64.
type ids []int64

// MarshalJSON fails if the ids are not ascending.
func (list ids) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, 2+len(list)*usualDigits)
	b = append(b, '[')
	for i, id := range list {
		switch {
		case i == 0:
			b = strconv.AppendInt(b, id, 10)
			continue
		case id <= list[i-1]:
			return nil, fmt.Errorf("(bug) ids are not ascending: %d after %d", id, list[i-1])
		}
		b = append(b, ',')
		b = strconv.AppendUint(b, distance(list[i-1], id), 10)
	}
	return append(b, ']'), nil
}

// usualDigits is how long the differences of hashes are, which are longer than those of msgids, with the comma.
const usualDigits = 18

// UnmarshalJSON reads what MarshalJSON writes. No ids at all are nil. What it takes is as long as the ids: data may be somebody else's.
func (list *ids) UnmarshalJSON(data []byte) error {
	*list = nil
	if string(data) == "null" {
		return nil
	}
	text, ok := bytes.CutPrefix(data, []byte{'['})
	if !ok {
		return &json.UnmarshalTypeError{Value: "value", Type: reflect.TypeFor[[]int64]()}
	}
	text = bytes.TrimSpace(bytes.TrimSuffix(text, []byte{']'}))
	if len(text) == 0 {
		return nil
	}
	read := make(ids, 0, bytes.Count(text, []byte{','})+1)
	for number := range bytes.SplitSeq(text, []byte{','}) {
		number = bytes.TrimSpace(number)
		if len(read) == 0 {
			first, err := strconv.ParseInt(string(number), 10, 64)
			if err != nil {
				return fmt.Errorf("the first id is %.40s, not an integer of 64 bits", number)
			}
			read = append(read, first)
			continue
		}
		last := read[len(read)-1]
		step, err := strconv.ParseUint(string(number), 10, 64)
		if err != nil || step == 0 || step > distance(last, maxID) {
			return fmt.Errorf("the ids are not ascending integers of 64 bits: difference %.40s after %d", number, last)
		}
		read = append(read, int64(uint64(last)+step)) //nolint:gosec // Wraps around zero on purpose; the bound was checked.
	}
	*list = read
	return nil
}

const maxID = 1<<63 - 1

// distance is b - a, where a is not above b.
func distance(a, b int64) uint64 {
	return uint64(b) - uint64(a) //nolint:gosec // Wraps around zero on purpose: the difference may exceed an int64.
}
