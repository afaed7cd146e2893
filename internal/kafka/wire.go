package kafka

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// kafka-go allocates whatever length a broker claims, takes negative ones for large ones, and counts to whatever number of fields a
// broker names (github.com/segmentio/kafka-go issues 1438 and 1439). It does so in goroutines of its own, where nobody can recover. So a
// reply is read and walked here before kafka-go sees it, by the same struct tags; see [layouts].

const (
	// maxReply bounds a reply, and maxDecoded what kafka-go makes of it: the metadata of a cluster with 190,000 partitions,
	// which is the largest that jmpub asks for, takes as much.
	maxReply   = 16 << 20
	maxDecoded = 32 << 20
	// maxFetch bounds the reply to a fetch: a batch that is larger than what was asked for comes whole. No topic that jmpub makes
	// takes a batch of more than 32 MiB.
	maxFetch = 34 << 20
)

// dialContext is what [net.Dialer] and [tls.Dialer] have in common.
type dialContext interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// dialer makes connections whose replies are checked.
type dialer struct {
	by      dialContext
	layouts *layouts
	// encrypted, if set, is given the state of each connection with TLS.
	encrypted func(*tls.ConnectionState)
	// answered, if set, is called with the key of each request that was answered.
	answered func(protocol.ApiKey)
}

// newDialer makes a dialer, with TLS where conf is not nil. It stands inside of TLS, where replies can be read.
func newDialer(conf *tls.Config) *dialer {
	plain := &net.Dialer{Timeout: dialTimeout}
	if conf == nil {
		return &dialer{by: plain, layouts: new(layouts)}
	}
	return &dialer{by: &tls.Dialer{NetDialer: plain, Config: conf}, layouts: new(layouts)}
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.by.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if secured, ok := conn.(*tls.Conn); ok && d.encrypted != nil {
		state := secured.ConnectionState()
		d.encrypted(&state)
	}
	return &wire{Conn: conn, broker: address, layouts: d.layouts, answered: d.answered}, nil
}

// wire is a connection to a broker. One request is answered before the next one is sent, as kafka-go does it.
type wire struct {
	net.Conn

	broker  string
	layouts *layouts
	// answered, if set, is called with the key of each request that was answered.
	answered func(protocol.ApiKey)
	// timed tells that a deadline is set.
	timed bool
	// unsent is how much of a request is still to be written; key and version are those of the newest one.
	unsent  int
	key     protocol.ApiKey
	version int16
	// reply is what is left to be given out of the reply, passing what may still be passed on as it comes.
	reply   []byte
	passing int
}

// SetDeadline remembers whether there is one.
func (w *wire) SetDeadline(t time.Time) error {
	w.timed = !t.IsZero()
	return w.Conn.SetDeadline(t)
}

// headerSize is that of what every request begins with: its size, its key and its version.
const headerSize = 8

// Write sends a request, or more of one.
func (w *wire) Write(b []byte) (int, error) {
	if w.unsent == 0 {
		if err := w.begin(b); err != nil {
			return 0, err
		}
	}
	n, err := w.Conn.Write(b)
	w.unsent -= n
	return n, err
}

// begin learns from the begin of a request what is asked for.
func (w *wire) begin(b []byte) error {
	if len(b) < headerSize {
		return fmt.Errorf("(bug) a request begins with %d bytes", len(b))
	}
	w.unsent = 4 + int(binary.BigEndian.Uint32(b))
	w.key, w.version = protocol.ApiKey(binary.BigEndian.Uint16(b[4:])), int16(binary.BigEndian.Uint16(b[6:])) //nolint:gosec // It was made from them.
	w.reply, w.passing = nil, 0
	if w.key == protocol.SaslHandshake && w.version == 0 { // What follows has no header. Brokers since Kafka 1.0 do it otherwise.
		return fmt.Errorf("the broker at %s wants SASL as it was before Kafka 1.0: %w", w.broker, kafkago.UnsupportedVersion)
	}
	if w.timed {
		return nil
	}
	return w.Conn.SetDeadline(time.Now().Add(requestTimeout)) // kafka-go logs in without a deadline, and would wait for ever.
}

// Read gives out the reply, once it is whole and checked. That to a fetch is only bounded: [fetchExchange] checks it.
func (w *wire) Read(b []byte) (int, error) {
	if len(w.reply) == 0 && w.passing == 0 {
		if err := w.receive(); err != nil {
			return 0, err
		}
	}
	if len(w.reply) > 0 {
		n := copy(b, w.reply)
		w.reply = w.reply[n:]
		return n, nil
	}
	n, err := w.Conn.Read(b[:min(len(b), w.passing)])
	w.passing -= n
	return n, err
}

// errHungUp is a broker that refuses credentials, or knows nothing of them. One that is being stopped does the same.
var errHungUp = errors.New("hung up while jmpub logged in")

func (w *wire) receive() error {
	var prefix [4]byte
	if _, err := io.ReadFull(w.Conn, prefix[:]); err != nil {
		if errors.Is(err, io.EOF) && (w.key == protocol.SaslHandshake || w.key == protocol.SaslAuthenticate) {
			return fmt.Errorf("the broker at %s %w", w.broker, errHungUp)
		}
		return err
	}
	size := int(int32(binary.BigEndian.Uint32(prefix[:]))) //nolint:gosec // Negative sizes are refused.
	most := maxReply
	if w.key == protocol.Fetch {
		most = maxFetch
	}
	if size < 4 || size > most {
		return fmt.Errorf("the broker at %s announces a reply to %s of %d bytes; between 4 and %d are possible", w.broker, w.key, size, most)
	}
	if w.key == protocol.Fetch {
		w.reply, w.passing = prefix[:], size
		return nil
	}
	reply := make([]byte, len(prefix)+size)
	copy(reply, prefix[:])
	if _, err := io.ReadFull(w.Conn, reply[len(prefix):]); err != nil {
		return err
	}
	if err := w.layouts.check(w.key, w.version, reply[len(prefix):]); err != nil {
		return fmt.Errorf("the broker at %s sent a malformed reply to %s: %w", w.broker, w.key, err)
	}
	if w.reply = reply; w.answered != nil {
		w.answered(w.key)
	}
	return nil
}
