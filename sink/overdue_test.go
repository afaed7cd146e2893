package sink

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/pipeline"
)

// TestATransactionThatTookTooLongSaysSo expects the error that ends a transaction to say what is to be done if it was open for longer than
// its timeout, and only then.
func TestATransactionThatTookTooLongSaysSo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const timeout = 30 * time.Second
		p := newProducer(nil, pipeline.Retry{}, "id", timeout)
		expired := kafka.Fault("produce", kafkago.InvalidProducerEpoch)
		hint := func(err error) string {
			fault, _ := errors.AsType[*pipeline.Fault](err)
			return fault.Hint
		}
		p.begun = time.Now()
		time.Sleep(timeout - time.Second)
		if got := hint(p.overdue(expired)); got != "" {
			t.Errorf("in time: %q", got)
		}
		time.Sleep(time.Second)
		if got := hint(p.overdue(expired)); !strings.Contains(got, "JMPUB_KAFKA_TRANSACTION_TIMEOUT is 30s") || hint(expired) != "" {
			t.Errorf("too late: %q", got)
		}
		if refused := kafka.Fault("produce", kafkago.TopicAuthorizationFailed); p.overdue(refused) != refused { //nolint:errorlint // The same.
			t.Error("another error is changed")
		}
		p.begin()
		if got := hint(p.overdue(expired)); got != "" {
			t.Errorf("without a transaction: %q", got)
		}
		if err := p.overdue(nil); err != nil {
			t.Error(err)
		}
	})
}
