package world

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/tests/world/kafkamodel"
	"github.com/jmpub/jmpub/pipeline"
)

// link is what connects one process with the world. Safe for concurrent use.
type link struct {
	world  *World
	client *kafkamodel.Client
	killed atomic.Bool

	mu   sync.Mutex
	dice *dice
	// until when which fault holds.
	until map[Kind]time.Time
}

// connect makes the link of a process, or of a command; name is unlike any other.
func (w *World) connect(name string) *link {
	l := &link{world: w, dice: newDice(w.plan.Seed, name), until: make(map[Kind]time.Time)}
	l.client = w.kafka.Client(kafkamodel.ClientOptions{Fate: l.fate})
	return l
}

// kill has nothing arrive any more, from now on.
func (l *link) kill() {
	l.killed.Store(true)
	l.client.Kill()
}

// fault begins one.
func (l *link) fault(kind Kind, long time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until[kind] = time.Now().Add(long)
}

// left is how long a fault still holds; zero where it does not.
func (l *link) left(kind Kind) time.Duration { return max(0, time.Until(l.until[kind])) }

// fate implements [kafkamodel.ClientOptions.Fate].
func (l *link) fate(*kafkamodel.Message) kafkamodel.Fate {
	l.mu.Lock()
	defer l.mu.Unlock()
	const usual, slow, fifth = 3 * time.Millisecond, 2 * time.Second, 0.2
	f := kafkamodel.Fate{Delay: l.dice.upTo(usual), ReplyDelay: l.dice.upTo(usual)}
	if l.left(Slow) > 0 {
		f.Delay, f.ReplyDelay = l.dice.upTo(slow), l.dice.upTo(slow)
	}
	if paused := l.left(Pause); paused > 0 { // What is on its way arrives, what comes back waits.
		if l.dice.chance(0.5) {
			f.Delay += paused
		} else {
			f.ReplyDelay += paused
		}
	}
	losses := []kafkamodel.Loss{kafkamodel.LoseRequest, kafkamodel.LoseReply}
	if l.left(CutKafka) > 0 || l.left(Lossy) > 0 && l.dice.chance(fifth) {
		f.Loss = losses[l.dice.IntN(len(losses))]
		if l.left(CutKafka) > 0 {
			f.Loss = kafkamodel.LoseRequest
		}
	}
	return f
}

var errCut = errors.New("the network is down")

// RoundTrip implements [http.RoundTripper]: it carries requests to the simulated API.
func (l *link) RoundTrip(r *http.Request) (res *http.Response, err error) {
	l.mu.Lock()
	paused, cut := l.left(Pause), l.left(CutAPI) > 0
	l.mu.Unlock()
	if paused > 0 {
		if err = pipeline.Sleep(r.Context(), paused); err != nil {
			return nil, err
		}
	}
	switch {
	case l.killed.Load():
		return nil, kafkamodel.ErrKilled
	case cut:
		return nil, errors.Join(pipeline.Sleep(r.Context(), 10*time.Millisecond), errCut)
	}
	defer func() {
		if dropped := recover(); dropped != nil { // So the simulator drops a connection.
			res, err = nil, io.ErrUnexpectedEOF
		}
	}()
	reply := httptest.NewRecorder()
	l.world.api.ServeHTTP(reply, r)
	if l.killed.Load() {
		return nil, kafkamodel.ErrKilled
	}
	return reply.Result(), r.Context().Err()
}

// configure makes the settings of a process or a command; what may change between restarts is drawn for it.
func (w *World) configure(name string, l *link, change func(*settings.Settings)) (*settings.Config, error) {
	d := newDice(w.plan.Seed, "settings of "+name)
	pick := func(of ...string) string { return of[d.IntN(len(of))] }
	s := settings.Defaults()
	s.AppKey, s.MasterSecret, s.API.TimeZone = w.api.AppKey, secret.New(w.api.MasterSecret), w.api.Zone.String()
	s.Start = w.first.Format(time.RFC3339)
	s.API.URL, s.Kafka.Brokers, s.Listen = "http://127.0.0.1:1/v2", "127.0.0.1:1", "off" // Whoever goes past the links finds nobody there.
	s.Topics.Partitions = "3"
	if w.plan.Lists {
		s.Streams, s.IM.URL = "groups/*,chatrooms/*", "http://127.0.0.1:1/v1"
	}
	if w.plan.Statistics {
		s.Streams += ",statistics/messages"
		s.Statistics.Units = "hour"
	}
	if w.plan.Files {
		s.Checkpoint = "file:" + w.folder
	}
	s.API.Rate, s.API.PageSize, s.API.Parallel = "6000/m", pick(itoa(w.plan.leastPage()), itoa(max(50, w.plan.leastPage())), itoa(largestPage)), pick("1", "2", "4")
	s.Poll, s.Overlap = pick("2s", "10s", "30s"), pick("1s", "2s", "5s", "30s")
	if w.plan.LiveFirst {
		s.Catchup = pick("ordered", "live-first")
	}
	s.Recheck = pick("10m,24h", "10m,24h", "5m", "off")
	s.WhenFenced = pick("leave", "wait")
	// kafka-go's pool of zstd decoders holds channels, which belong to the bubble that made them.
	s.Kafka.Compression = pick("snappy", "none")
	s.Kafka.TransactionTimeout = pick("3m", "30s")
	if change != nil {
		change(s)
	}
	cfg, err := s.Parse()
	if err != nil {
		return nil, err
	}
	cfg.Source.Transport, cfg.Kafka.Transport = l, l.client
	return cfg, nil
}

// process is one `jmpub run`.
type process struct {
	*link

	name string
	stop context.CancelFunc
	// done is closed when it has ended, with err.
	done chan struct{}
	err  error
}

// start starts a process. Its end is looked at by whoever started it.
func (w *World) start(ctx context.Context) (*process, error) {
	w.mu.Lock()
	w.started++
	name := "process " + itoa(w.started)
	w.mu.Unlock()
	p := &process{link: w.connect(name), name: name, done: make(chan struct{})}
	cfg, err := w.configure(name, p.link, nil)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.newest = p
	w.mu.Unlock()
	ctx, p.stop = context.WithCancel(ctx)
	go func() {
		defer close(p.done)
		defer p.stop()
		p.err = operate.Run(ctx, cfg, slog.New(&logged{trace: w.trace, who: name, link: p.link}), operate.RunOptions{Version: "world"})
	}()
	return p, nil
}

// kill ends it as kill -9 does.
func (p *process) kill() {
	p.link.kill()
	p.stop()
	<-p.done // Nothing that it does on the way out reaches anybody.
}

// terminate ends it as SIGTERM does, and returns what it leaves with.
func (p *process) terminate() error {
	p.stop()
	<-p.done
	return p.err
}
