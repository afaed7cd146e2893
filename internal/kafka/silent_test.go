package kafka

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// scripted answers as it is told to, after a while.
type scripted struct {
	takes time.Duration
	err   error
}

func (s *scripted) RoundTrip(context.Context, net.Addr, kafkago.Request) (kafkago.Response, error) {
	takes, err := s.takes, s.err
	time.Sleep(takes)
	return &metadata.Response{}, err
}

// TestSilentSince is since the first request that was not answered, also while it is waited for.
func TestSilentSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := &scripted{}
		conn, err := Open(Config{Brokers: []string{"127.0.0.1:1"}, Transport: broker})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		expect := func(want time.Duration) {
			t.Helper()
			switch since := conn.SilentSince(); {
			case want < 0 && !since.IsZero(), want >= 0 && !since.Equal(began.Add(want)):
				t.Errorf("silent since %s, want %s", since.Sub(began), want)
			}
		}
		ask := func() { _, _ = conn.Transport.RoundTrip(t.Context(), nil, &metadata.Request{}) }
		expect(-1)
		ask()
		expect(-1)
		time.Sleep(time.Minute)
		broker.err, broker.takes = errors.New("connection refused"), 10*time.Second
		ask()
		expect(time.Minute)
		broker.err = nil
		go ask()
		time.Sleep(time.Second)
		expect(time.Minute)
		time.Sleep(9 * time.Second)
		synctest.Wait()
		expect(-1)
	})
}
