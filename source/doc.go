// Package source reads the IM REST Report V2 API: it plans windows by the server's clock, pages them by cursor within the
// 120 seconds that a cursor lives, and says of each error what it asks for.
//
// What the API's documents leave open works either way: inclusive or strict bounds (windows overlap, ids decide), a cursor
// beside the last page or none, rate headers in either spelling or none, any 4xx for an expired cursor.
package source
