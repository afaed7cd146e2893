// Package verify is an independent witness: it compares what stands in the topics with what the API held. It reads with a
// client of its own (franz-go), as any read_committed consumer would, so that a mistake in jmpub's use of Kafka cannot hide
// itself; and it keeps a hash of each row instead of the row, so that millions fit into memory.
//
//	found, err := verify.Read(ctx, brokers, "jmessage")
//	report := verify.Compare(truth, found)
package verify
