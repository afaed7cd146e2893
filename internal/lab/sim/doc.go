// Package sim is a simulated Report API: strict as the documents are, or as lenient as it must be with the official SDKs
// ([Options.Strict]), and hostile where it is unknown.
//
// The history is never stored. What happened in a second is a pure function of the seed and that second, so a history of
// sixty days and many millions of rows needs no memory, and the same options give the same bytes:
//
//	(seed, second) -> number of rows          count
//	(seed, second, index) -> a row's outline  rows: who, to whom; date: when
//	outline -> bytes                          append
//
// A page is found from its cursor, which holds the window and the last row given, signed; so the server keeps nothing
// between requests but counters, bounded memories of totals, and the places of cursors that are to stay the same.
// [Server.Truth] lists what the history holds,
// independent of bounds, faults and late rows, so that any test can compare.
//
// Statistics are counted from the same history. Users, groups and rooms may come and go ([Options.ChurnEvery]); the lists of
// the IM REST API have those that exist, and rows are always between them.
//
// What the API's documents leave open is a switch in [Unknowns]; what they promise is refused when it is not met. Times
// are the simulator's own: it runs by [Options.Now].
package sim
