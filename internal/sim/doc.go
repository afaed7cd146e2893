// Package sim is a simulated Report API: strict where the real one is strict, hostile where it is unknown.
//
// The history is never stored. What happened in a second is a pure function of the seed and that second, so a history of
// sixty days and many millions of rows needs no memory, and the same seed gives the same bytes. [Server.Truth] lists what
// the history holds, independent of bounds, faults and late rows, so that any test can compare.
//
// What the API's documents leave open is a switch in [Options]; what they promise is refused when it is not met. Times are
// the simulator's own: it runs by [Options.Now].
package sim
