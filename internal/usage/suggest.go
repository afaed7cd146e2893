package usage

import "strings"

// Suggest names the one of some known names that a misspelt one is closest to, in words that can follow an error; it is empty where
// none is close.
func Suggest(name string, known []string) string {
	best, distance := "", min(3, 1+len(name)/4)+1
	for _, k := range known {
		d := editDistance(strings.ToLower(k), strings.ToLower(name))
		if len(name) > 2 && strings.HasPrefix(k, name) { // Somebody was too lazy to write it out.
			d = 1
		}
		if d < distance {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// editDistance is the Levenshtein distance between two names.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
