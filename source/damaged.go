package source

import (
	"bytes"
	"errors"
)

// decodeDamaged decodes a page in which rows are no JSON but still end where their brackets and quotes say. Such rows are
// cut out with the others, as they are; whoever judges rows will reject them. The envelope is as strict as in decodePage,
// and count, where it is given, has to be met: damage that hides a row's end is found out.
func decodeDamaged(body []byte) (reply, error) {
	masked := bytes.Clone(body)
	var holes [][2]int
	for {
		page, err := decodePage(masked)
		row, ok := errors.AsType[*rowError](err)
		if !ok {
			// Rows point into masked: with their own bytes back in their places they are as they came.
			for _, hole := range holes {
				copy(masked[hole[0]:hole[1]], body[hole[0]:hole[1]])
			}
			return page, err
		}
		begin, end := rowExtent(masked, row.offset)
		if end <= begin || len(holes) == maxPageSize {
			return page, err
		}
		holes = append(holes, [2]int{begin, end})
		cover(masked[begin:end])
	}
}

// cover replaces a row by JSON of the same length.
func cover(row []byte) {
	for i := range row {
		row[i] = '0'
	}
	if len(row) == 1 {
		return
	}
	row[0], row[len(row)-1] = '"', '"'
}

// rowExtent finds the row at or behind an offset: up to the bracket that closes its first one, or up to the next comma or
// bracket where it begins with none. Brackets in strings do not count. The extent is empty if there is no end.
func rowExtent(body []byte, offset int) (begin, end int) {
	for offset < len(body) && bytes.IndexByte([]byte(" \t\r\n,"), body[offset]) >= 0 {
		offset++
	}
	depth := 0
	inString := false
	for i := offset; i < len(body); i++ {
		b := body[i]
		switch {
		case inString && b == '\\':
			i++ // What is escaped ends nothing.
		case b == '"':
			inString = !inString
		case inString:
		case b == '{' || b == '[':
			depth++
		case depth > 0 && (b == '}' || b == ']'):
			if depth--; depth == 0 {
				return offset, i + 1
			}
		case depth == 0 && (b == ',' || b == ']' || b == '}'):
			return offset, i
		}
	}
	return offset, offset
}
