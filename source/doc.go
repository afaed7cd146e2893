// Package source reads the IM REST Report V2 API: it plans windows by the server's clock, pages them by cursor within the
// 120 seconds that a cursor lives, keeps to the app's quota, and says of each error what it asks for.
//
//	Plan    position ──planner, clock──► window                        waits for settle and poll
//	Open    window ──► first page ──too dense?──► Restart with a span
//	Next    cursor ──► page … ──► io.EOF                               while the cursor lives, else Restart
//
//	each request: limiter (bucket, pause) ──► HTTP ──► classify ──► page, or a Fault; Retry does transient ones again
//
// What the API's documents leave open works either way: inclusive or strict bounds (windows overlap, ids decide), a cursor
// with the last page or none, rate headers in either spelling or none, any 4xx for an expired cursor, error bodies in
// any of the forms that were seen.
//
// How far its Go identifiers are stable stands in package pipeline.
package source
