package source

import (
	"bytes"
	"errors"
	"hash/fnv"

	"github.com/jmpub/jmpub/internal/rawjson"
)

// decodeDamaged decodes a page in which rows are no JSON but still end where their brackets and quotes say, and makes a hash of
// those rows. They are cut out with the others, as they are; whoever judges rows will reject them. The envelope is as strict as in
// decodePage, and count, where it is given, has to be met: damage that hides a row's end is found out.
func decodeDamaged(body []byte, most int) (page reply, damage uint64, err error) {
	page, err = decodePage(body, most, nil)
	first, ok := errors.AsType[*rowError](err)
	if !ok {
		return page, 0, err
	}
	masked := bytes.Clone(body)
	holes := coverDamage(masked, first.offset, most)
	page, err = decodePage(masked, most, nil)
	// Rows point into masked: with their own bytes back in their places they are as they came.
	h := fnv.New64a()
	for _, hole := range holes {
		row := body[hole[0]:hole[1]]
		copy(masked[hole[0]:], row)
		_, _ = h.Write(row)
		_, _ = h.Write([]byte{'\n'})
	}
	return page, h.Sum64(), err
}

// coverDamage covers the rows from an offset on that are no JSON, and returns where they stand. It ends with the array, at a row
// without an end, and behind most rows.
func coverDamage(body []byte, offset, most int) (holes [][2]int) {
	judge := rowJudge{reader: rawjson.Lenient()}
	for range most {
		begin, end := rowExtent(body, offset)
		if end <= begin {
			break
		}
		if !judge.isJSON(body[begin:end]) {
			holes = append(holes, [2]int{begin, end})
			cover(body[begin:end])
		}
		offset = end
	}
	return holes
}

// rowJudge tells rows that are JSON from those that are not.
type rowJudge struct {
	reader *rawjson.Reader
	nested []byte
}

// isJSON judges a row as deep as it stands in a page, because how deep JSON may nest has a limit.
func (j *rowJudge) isJSON(row []byte) bool {
	j.nested = append(append(append(j.nested[:0], "[["...), row...), "]]"...)
	j.reader.Open(j.nested)
	j.reader.Skip()
	j.reader.End()
	return j.reader.Err() == nil
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
