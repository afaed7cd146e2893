// Package checkpoint keeps the position of each stream, and writes the ledger.
//
// [Kafka] keeps checkpoints in a compacted topic, written in the transaction of the window that they follow, so position
// and events can never disagree. [Files] keeps them in a folder, written after the window; a window may then repeat.
package checkpoint
