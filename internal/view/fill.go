package view

import "strings"

// Fill puts the paragraphs of a text into lines of at most width characters. A paragraph with indented lines stays as it is.
func Fill(text string, width int) string {
	paragraphs := strings.Split(text, "\n\n")
	for i, paragraph := range paragraphs {
		if strings.Contains(paragraph, "\n ") || strings.Contains(paragraph, "\n\t") || strings.HasPrefix(paragraph, "\t") {
			continue
		}
		var b strings.Builder
		column := 0
		for word := range strings.FieldsSeq(paragraph) {
			switch length := len([]rune(word)); {
			case column == 0:
				column = length
			case column+1+length <= width:
				b.WriteByte(' ')
				column += 1 + length
			default:
				b.WriteByte('\n')
				column = length
			}
			b.WriteString(word)
		}
		paragraphs[i] = b.String()
	}
	return strings.Join(paragraphs, "\n\n")
}
