package kafka

import (
	"context"
	"net"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/createtopics"
	"github.com/segmentio/kafka-go/protocol/describeconfigs"
	"github.com/segmentio/kafka-go/protocol/produce"

	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/internal/words"
)

// redacting is a transport whose errors, and the messages of brokers that become errors, do not show the credentials that it sends.
type redacting struct {
	kafkago.RoundTripper

	redactor secret.Redactor
}

// RoundTrip implements [kafkago.RoundTripper].
func (t redacting) RoundTrip(ctx context.Context, addr net.Addr, request kafkago.Request) (kafkago.Response, error) {
	response, err := t.RoundTripper.RoundTrip(ctx, addr, request)
	switch r := response.(type) {
	case *createtopics.Response:
		for i := range r.Topics {
			t.redact(&r.Topics[i].ErrorMessage)
		}
	case *describeconfigs.Response:
		for i := range r.Resources {
			t.redact(&r.Resources[i].ErrorMessage)
		}
	case *produce.Response:
		for i := range r.Topics {
			for j := range r.Topics[i].Partitions {
				partition := &r.Topics[i].Partitions[j]
				t.redact(&partition.ErrorMessage)
				for k := range partition.RecordErrors {
					t.redact(&partition.RecordErrors[k].BatchIndexErrorMessage)
				}
			}
		}
	default: // No other of those that jmpub asks for has a message.
	}
	return response, t.redactor.Error(err)
}

func (t redacting) redact(message *string) {
	const most = 500
	*message = words.Line(t.redactor.Begin(*message, most))
}

// redactor masks the credentials.
func (cfg *Config) redactor() secret.Redactor {
	return cfg.Redactor.With(secret.Credentials{User: cfg.Username, Password: cfg.Password})
}
