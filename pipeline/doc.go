// Package pipeline is the core of jmpub: it has rows of the Report API turned into events (package event) and sees to it that
// each of them is published exactly once.
//
//	Source ──pages──► reader, one a stream ──┐ proposals
//	                  Member ────────────────┴──► publisher ──Draft──► Sink, Checkpoints
//	                     ▲                                                     │
//	                     └────────────── positions, as committed ◄─────────────┘
//
// # Ports
//
// The package knows no transport. Adapters implement [Source] (the API), [Sink] and [Transaction] (Kafka), [Checkpoints] and
// [Claims] and [Owners] (positions, what commands announce, and which run has the writer's place) and [CoverageReader].
//
// # One commit
//
// Whatever is published or moves a position is a [Commit]: ledger records, positions, notices, coverage and records of other
// topics, together with the rows in their transaction. It is made in one place. Whoever wants to commit hands over a [Fill]; the
// one who writes calls it with a [Draft], within the transaction, with the positions as they are committed at that moment. So
// nothing is ever computed from a position that has moved since. Four rules carry the guarantee:
//
//  1. A window closes only when as many different rows were read as the reply's total says. A window that does not is read again
//     from its first request; a difference that stays is published as a notice.
//  2. Windows overlap, and a checkpoint carries the ids of the rows near its end. What the overlap brings again is skipped by id,
//     so nothing depends on whether the API's bounds are inclusive or on which clock it sorts by.
//  3. Events, rejected rows, ledger records, notices, coverage and checkpoints of a window are one transaction.
//  4. After any doubt about a transaction nothing in memory is trusted: the session ends, the sink is opened again (which ends
//     what was open), and the positions are read back from the checkpoints.
//
// # Sessions and members
//
// A session is the time between two readings of the committed positions. In it, streams that are named are followed, and each
// [Member] brings what else there is: statistics, streams that the app's lists have, late rows. A member commits by its
// [Session], and what it remembers outlives sessions. One that fails with class [Drop] ends alone.
//
// # Windows ahead
//
// Where the history is dense, several windows of one stream are fetched at the same time, each by a goroutine of its own that
// tells the stream's reader what happens by messages. They are published in the order of time, because each leaves out what the
// one before it brought. Memory and fetch slots bound them; a window that finds no room waits until its predecessors are handed
// on, and is then published part by part into its open transaction.
//
// # Backlog
//
// A [Checkpoint] may have ranges behind its position that are not published yet ([Backlog]): what lay behind the head when it
// was followed at once, or what an operator wants published again. They are read while the live position goes on, from the oldest on,
// and the ids of rows near their ends keep each row from being published by both.
//
// # Claims
//
// A command that writes takes the writer's place for a moment ([Exclusive]): it announces a [Claim], fences, reads what is
// committed, writes one commit, and says that it is done. A run that is fenced waits until the newest claim is done, and begins a new
// session; it ends when another run says that it has the place ([Owners]).
//
// # Coverage
//
// [Coverage] says of each day of a stream what was read to its end and what was published of each hour. It commits with the
// window that changes it.
//
// # Stability
//
// Until v0.1.0 anything may change. From then on, what leaves the process is kept: events, ledger, notices and coverage by
// docs/schemas/released, checkpoints by their version (package checkpoint). The Go identifiers of this package and of those below
// and beside it (event, audit, discovery, statistics, source, sink, checkpoint) stay within a minor release, and may change with the next one
// until v1.0.0; CHANGELOG.md says how. Packages under internal promise nothing.
package pipeline
