package checkpoint

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// ids are ascending numbers. As JSON they are the first one and then the difference of each to the one before:
// [2456348996, 1, 12] is 2456348996, 2456348997, 2456349009. The ids of one second lie close together or share their
// high digits, so differences are short. The first may be negative, the differences are positive and below 2^64.
type ids []int64

// MarshalJSON fails if the ids are not ascending.
func (list ids) MarshalJSON() ([]byte, error) {
	b := []byte{'['}
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

// UnmarshalJSON reads what MarshalJSON writes. No ids at all are nil.
func (list *ids) UnmarshalJSON(data []byte) error {
	var numbers []json.RawMessage
	if err := json.Unmarshal(data, &numbers); err != nil {
		return err
	}
	*list = nil
	if len(numbers) == 0 {
		return nil
	}
	read := make(ids, len(numbers))
	for i, number := range numbers {
		if i == 0 {
			first, err := strconv.ParseInt(string(number), 10, 64)
			if err != nil {
				return fmt.Errorf("the first id is %s, not an integer of 64 bits", number)
			}
			read[0] = first
			continue
		}
		step, err := strconv.ParseUint(string(number), 10, 64)
		if err != nil || step == 0 || step > distance(read[i-1], maxID) {
			return fmt.Errorf("the ids are not ascending integers of 64 bits: difference %s after %d", number, read[i-1])
		}
		read[i] = int64(uint64(read[i-1]) + step) //nolint:gosec // Wraps around zero on purpose; the bound was checked.
	}
	*list = read
	return nil
}

const maxID = 1<<63 - 1

// distance is b - a, where a is not above b.
func distance(a, b int64) uint64 {
	return uint64(b) - uint64(a) //nolint:gosec // Wraps around zero on purpose: the difference may exceed an int64.
}
