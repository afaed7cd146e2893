package kafka

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/segmentio/kafka-go/sasl"
)

// maxIterations bounds the work that a broker asks for before it has shown that it knows the password. Kafka itself allows 16384.
const maxIterations = 1 << 18

// boundedScram is a SCRAM mechanism that does so much work and no more. The library does whatever it is asked for, and looks at no
// context meanwhile.
type boundedScram struct{ sasl.Mechanism }

// Start begins an exchange.
func (m boundedScram) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	state, first, err := m.Mechanism.Start(ctx)
	return boundedExchange{state}, first, err
}

type boundedExchange struct{ sasl.StateMachine }

// Next looks at what the broker says: r=nonce,s=salt,i=iterations (RFC 5802).
func (e boundedExchange) Next(ctx context.Context, challenge []byte) (done bool, response []byte, err error) {
	for attribute := range strings.SplitSeq(string(challenge), ",") {
		count, ok := strings.CutPrefix(attribute, "i=")
		if n, err := strconv.Atoi(count); ok && (err != nil || n > maxIterations) {
			return false, nil, fmt.Errorf("the broker asks for %.20q rounds of SCRAM; at most %d are done", count, maxIterations)
		}
	}
	return e.StateMachine.Next(ctx, challenge)
}
