// Package checkpoint keeps the position of each stream, and writes the ledger.
//
// [Kafka] keeps checkpoints in a compacted topic, written in the transaction of the window that they follow, so position
// and events can never disagree. [Files] keeps them in a folder, written after the window; a window may then repeat.
//
//	            in the window's transaction               after it
//	Kafka       ledger, notices, checkpoints              nothing
//	Files       ledger, notices                           checkpoints
//
// # Form
//
// Checkpoints, ledger records and notices are JSON objects with a version, which is 1. Fields are named as in the Go tags
// of package pipeline; times are RFC 3339 in UTC, durations are seconds. What reads them passes over fields that it does not
// know, so a later release may add some; it refuses a higher version, and everything that it cannot take as it is meant:
// a position that is misread loses messages or publishes them twice.
//
// `replay` in ledger records and notices is reserved for the id of a replay, and absent outside of one.
//
// From v0.1.0 on, a release reads every form that an earlier one wrote. How far the Go identifiers are stable stands in package pipeline.
package checkpoint
