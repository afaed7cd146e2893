// Package fleet is what the processes of a group tell of themselves, and what they and operators read of it: who is there, and who has which
// app in which state.
//
//	process ── status ──► Publisher ──► topic processes ──► Reader ──► Merge ──► `jmpub apps`, /api/v1/apps
//
// Processes reach Kafka and need not reach each other, and of one that has died is still known what it had. Nothing that is published depends
// on any of this: it is written in no transaction, and a process that may not write it goes on without.
package fleet
