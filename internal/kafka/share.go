package kafka

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/describeconfigs"
	"github.com/segmentio/kafka-go/protocol/initproducerid"
	"github.com/segmentio/kafka-go/protocol/produce"
)

// sharing is a transport that spares a cluster what many apps would ask of it that begin at the same time. One request is sent for all who ask
// for the configuration of the same topics. What each has to send by itself, to fence and to say so, is sent a few at a time: kafka-go opens
// another connection for each request while all others are waiting for an answer, and to open one takes longer than the request.
type sharing struct {
	kafkago.RoundTripper

	configs asks[string, kafkago.Response]
	begins  crowd
}

// newSharing makes one of a transport.
func newSharing(by kafkago.RoundTripper) *sharing {
	return &sharing{RoundTripper: by, begins: make(crowd, mostBegins)}
}

// RoundTrip implements [kafkago.RoundTripper]. Nobody may change what it returns.
func (s *sharing) RoundTrip(ctx context.Context, addr net.Addr, request kafkago.Request) (kafkago.Response, error) {
	send := func(ctx context.Context) (kafkago.Response, error) {
		return s.RoundTripper.RoundTrip(ctx, addr, request)
	}
	switch asked := request.(type) {
	case *describeconfigs.Request:
		return s.configs.ask(ctx, fmt.Sprintf("%+v", *asked), send)
	case *initproducerid.Request, *produce.Request: // What is in a transaction is sent as another type.
		leave, err := s.begins.enter(ctx)
		if err != nil {
			return nil, err
		}
		defer leave()
	}
	return send(ctx)
}

const (
	// mostBegins is how many requests are under way at the same time with which apps begin.
	mostBegins = 32
	// crowdPatience is for how long one counts that is not answered: the others may be for a broker that answers.
	crowdPatience = 2 * time.Second
)

// crowd has room for as many as it can hold, each for a while.
type crowd chan struct{}

// enter waits for room, which leave gives back.
func (c crowd) enter(ctx context.Context) (leave func(), err error) {
	select {
	case c <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	giveBack := sync.OnceFunc(func() { <-c })
	timer := time.AfterFunc(crowdPatience, giveBack)
	return func() {
		timer.Stop()
		giveBack()
	}, nil
}
