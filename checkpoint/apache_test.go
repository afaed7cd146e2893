//go:build integration

package checkpoint_test

import (
	"testing"

	"github.com/jmpub/jmpub/internal/tests/kafkatest"
)

// TestOnApacheKafka repeats on Apache Kafka what needs no control over the broker.
func TestOnApacheKafka(t *testing.T) {
	apache = kafkatest.Start(t, kafkatest.Options{}).Addrs
	t.Cleanup(func() { apache = nil })
	t.Run("empty", TestEmpty)
	t.Run("reopen", TestReopen)
	t.Run("later wins", TestLaterWins)
	t.Run("nothing committed", TestNothingCommitted)
	t.Run("deleted", TestDeleted)
	t.Run("claims", TestClaims)
	t.Run("claim behind an open transaction", TestClaimBehindAnOpenTransaction)
	t.Run("replay keeps to itself", TestReplayKeepsToItself)
	t.Run("names", TestNames)
	t.Run("model", TestModel)
	t.Run("aborted between", TestAbortedBetween)
	t.Run("open transaction", TestOpenTransaction)
	t.Run("open transactions of others", TestOthersOpenTransactions)
	t.Run("tombstone", TestTombstone)
	t.Run("repartitioned", TestRepartitioned)
	t.Run("other partitions busy", TestOtherPartitionsBusy)
	t.Run("damaged record", TestDamagedRecord)
	t.Run("coverage", TestCoverageIsReadBack)
	t.Run("coverage behind others", TestCoverageBehindOthers)
	t.Run("evidence", TestEvidence)
}
