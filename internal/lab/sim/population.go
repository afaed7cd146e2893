package sim

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// The first ids of groups and chatrooms. No id is of both.
const (
	firstGroup = 10_000_000
	firstRoom  = 20_000_000
)

// Username is the name of the i-th user, 4 to 128 bytes. Some are awkward, so that whoever escapes carelessly is found out:
// 3 is Chinese, 5 has a comma, 11 a space, a slash and a percent sign, 17 what separates a query, 23 is as long as can be.
func Username(i int) string { return string(appendUsername(nil, i)) }

// GroupID is the id of the i-th group.
func GroupID(i int) string { return strconv.Itoa(firstGroup + i) }

// RoomID is the id of the i-th chatroom.
func RoomID(i int) string { return strconv.Itoa(firstRoom + i) }

// appendUsername needs no escaping in JSON. The first digits of each name are its index.
func appendUsername(dst []byte, i int) []byte {
	switch i % 29 {
	case 3:
		return fmt.Appendf(dst, "用户%04d", i)
	case 5:
		return fmt.Appendf(dst, "a,b,%04d", i)
	case 11:
		return fmt.Appendf(dst, "user %04d/%%2F", i)
	case 17:
		return fmt.Appendf(dst, "a+b&c=%04d?#", i)
	case 23:
		name := fmt.Sprintf("%04d.", i)
		return append(dst, name+strings.Repeat("-", 128-len(name))...)
	default: // As most are, so it is written without a format, which would be slow.
		dst = append(dst, "user_"...)
		for limit := 1000; limit > 1 && i < limit; limit /= 10 {
			dst = append(dst, '0')
		}
		return strconv.AppendInt(dst, int64(i), 10)
	}
}

// userIndex finds a user by name, of n users.
func userIndex(name string, n int) (int, bool) {
	digits := name[max(0, strings.IndexAny(name, "0123456789")):]
	if end := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		digits = digits[:end]
	}
	i, err := strconv.Atoi(digits)
	return i, err == nil && i < n && Username(i) == name
}

// numberIndex finds a group or a room by its id, of n that begin with first.
func numberIndex(id string, first, n int) (int, bool) {
	i, err := strconv.Atoi(id)
	return i - first, err == nil && i >= first && i < first+n && strconv.Itoa(i) == id
}

// pick draws one of n by 24 bits, with a bias to the first, as real populations have it.
func pick(hash uint64, n int) int {
	u := hash & 0xffffff
	hi, _ := bits.Mul64(u*u<<16, uint64(n))
	return int(hi)
}
