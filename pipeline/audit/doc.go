// Package audit knows what was published from the ledger alone, and holds it against what the API has.
//
//	ledger ──records in the order of commits──► Lineage ──chains──► Audit ◄──totals, rows── API
//	                                               │                  │
//	                                               ▼                  ▼
//	                                  Coverage, Sums, DailyCounts   Difference ──in one commit──► late rows, ledger record, notice
//
// A window counts for the interval by which it moved a position, until a later window has moved a position over that interval
// again. Windows whose intervals touch and that were read one after another form a chain: each knew what the one before it had
// published, so that the rows of a chain can be added up and compared with the API's total of the same time.
//
// What is found missing is computed again from what is committed at the moment of publishing: whoever publishes at the same
// time, each late row is published once.
//
// How far its Go identifiers are stable stands in package pipeline.
package audit
