// Package sink writes to Kafka: events to a topic per target_type, rejected rows, and jmpub's own records, all of a window
// in one transaction.
//
// Transactions go through kafka-go's low-level client, because its Writer has none. The steps are those of KIP-98:
// InitProducerId, AddPartitionsToTxn, Produce with producer id, epoch and sequence in each batch, EndTxn. Each partition
// has one batch in flight, so a batch that is sent again carries the same sequence and is recognized. Batches are encoded here,
// because kafka-go signs none with a producer, and builds its compressors anew after each garbage collection.
//
// Without a transactional id the same path delivers at least once: the batches carry no producer, and there is nothing to
// add, commit or abort.
//
// How far its Go identifiers are stable stands in package pipeline.
package sink
