package kafka

import (
	"context"
	"fmt"
	"net"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/describeconfigs"
)

// sharing is a transport that sends one request for all who ask for the configuration of the same topics at the same time, as each of many
// apps does when it begins.
type sharing struct {
	kafkago.RoundTripper

	configs asks[string, kafkago.Response]
}

// RoundTrip implements [kafkago.RoundTripper]. Nobody may change what it returns.
func (s *sharing) RoundTrip(ctx context.Context, addr net.Addr, request kafkago.Request) (kafkago.Response, error) {
	configs, ok := request.(*describeconfigs.Request)
	if !ok {
		return s.RoundTripper.RoundTrip(ctx, addr, request)
	}
	return s.configs.ask(ctx, fmt.Sprintf("%+v", *configs), func(ctx context.Context) (kafkago.Response, error) {
		return s.RoundTripper.RoundTrip(ctx, addr, request)
	})
}
