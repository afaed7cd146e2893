package broker

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"
)

// journal is kfake's logger. kfake does not return what goes wrong with its files, it only logs it; so the journal keeps the
// first of those for [Broker.Close]. Safe for concurrent use.
type journal struct {
	log *slog.Logger

	mu    sync.Mutex // Guards first.
	first error
}

var _ kfake.Logger = (*journal)(nil)

func newJournal(log *slog.Logger) *journal {
	return &journal{log: cmp.Or(log, slog.New(slog.DiscardHandler))}
}

// Logf takes what happens in the broker.
func (j *journal) Logf(level kfake.LogLevel, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	switch level {
	case kfake.LogLevelError:
		j.log.Error("embedded broker", slog.String("detail", message))
	case kfake.LogLevelWarn:
		j.log.Warn("embedded broker", slog.String("detail", message))
	default:
		return // Requests and group states, of use only to those who work on the broker itself.
	}
	if strings.HasPrefix(format, "persist ") || level == kfake.LogLevelError {
		j.mu.Lock()
		defer j.mu.Unlock()
		if j.first == nil {
			j.first = errors.New("embedded broker: " + message)
		}
	}
}

// failure is the first thing that could not be written; nil where everything was.
func (j *journal) failure() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.first
}
