package pipeline

import "time"

// What the Report API allows (API page, request params).
const (
	// History is how far back it answers.
	History = 60 * 24 * time.Hour
	// LongestWindow is the longest window that it takes, overlap included.
	LongestWindow = 7 * 24 * time.Hour
)
