//go:build integration

package kafkatest_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/jmpub/jmpub/internal/tests/kafkatest"
)

// TestProtocol holds what jmpub's transactions rely on, on one broker and on three.
func TestProtocol(t *testing.T) {
	t.Parallel()
	for _, brokers := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d brokers", brokers), func(t *testing.T) {
			t.Parallel()
			newLab(t, kafkatest.Start(t, kafkatest.Options{Brokers: brokers}).Addrs).protocol(t, slices.Concat(transactionCases(), modelCases()))
		})
	}
}
