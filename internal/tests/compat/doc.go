// Package compat shows that what jmpub writes is what Apache Kafka's own clients, and everybody's, read: each client sees the
// same records, a key stands in the partition that the Java producer would have chosen, and each compression is understood.
//
// It also has a second witness for other tests. [verify.Read] reads with franz-go; a [JavaReader] reads the same topics with
// the client that the brokers themselves are built on, and what it finds is compared in the same way:
//
//	found, err := compat.NewJavaReader(t).Found(ctx, brokers, "jmessage")
//	report := verify.Compare(truth, found)
package compat
