// Package pipeline is the core of jmpub: it turns rows of the Report API into events and sees to it that each of them
// is published exactly once.
//
// The flow, for one app:
//
//	Source --Page--> reader --Closed--> publisher --Transaction--> Sink
//	   ^    (Normalize, drop what the      |   (events, rejected rows, ledger, checkpoints:
//	   |     overlap brought again)        |    together or not at all)
//	   +---------- Checkpoint: end_time and the ids seen near it ----------+
//
// Each stream has a reader, which fetches one whole window after another and may be one window ahead of what is
// committed. One publisher takes closed windows in the order in which they closed and commits each of them, or
// several of different streams together, in one transaction. The guarantee rests on four rules:
//
//  1. A window closes only when as many different rows were read as the reply's total says. A window that does not
//     is read again from its first request; a difference that stays is published as a notice.
//  2. Windows overlap, and a checkpoint carries the ids of the rows near its end. What the overlap brings again is
//     skipped by id, so nothing depends on whether the API's bounds are inclusive or on which clock it sorts by.
//  3. Events, rejected rows, ledger records, notices and checkpoints of a window are one transaction.
//  4. After any doubt about a transaction nothing in memory is trusted: the session ends, the sink is opened again
//     (which ends what was open), and the position is read back from the checkpoints.
//
// The package knows no transport. Adapters implement its ports: [Source], [Sink] and [Checkpoints].
package pipeline
