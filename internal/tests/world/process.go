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
	app    *app
	client *kafkamodel.Client
	killed atomic.Bool

	// process is whose rows are counted, allowed how many bytes of them it may hold; none where empty.
	process string
	allowed int

	mu   sync.Mutex
	dice *dice
	// until when which fault holds.
	until map[Kind]time.Time
}

// connect makes the link of a process, or of a command; name is unlike any other.
func (a *app) connect(name string) *link {
	l := &link{app: a, dice: newDice(a.plan.Seed, name), until: make(map[Kind]time.Time)}
	l.client = a.kafka.Client(kafkamodel.ClientOptions{User: name, Fate: l.fate})
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

// isOut tells whether nothing goes between the process and the brokers.
func (l *link) isOut() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.left(Pause) > 0 || l.left(CutKafka) > 0
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
	l.app.api.ServeHTTP(reply, r)
	if l.process != "" {
		if held := l.app.custody.served(l.process, r.URL.Path, reply); held > l.allowed {
			l.app.found("%s holds %d bytes of rows, %d are allowed", l.process, held, l.allowed)
			l.process = ""
		}
	}
	if l.killed.Load() {
		return nil, kafkamodel.ErrKilled
	}
	return reply.Result(), r.Context().Err()
}

// configure makes the settings of a process or a command; what may change between restarts is drawn for it.
func (a *app) configure(name string, l *link, change func(*settings.Settings)) (*settings.Config, error) {
	d := newDice(a.plan.Seed, "settings of "+name)
	pick := func(of ...string) string { return of[d.IntN(len(of))] }
	s := settings.Defaults()
	s.AppKey, s.MasterSecret, s.API.TimeZone = a.api.AppKey, secret.New(a.api.MasterSecret), a.api.Zone.String()
	s.Start = a.first.Format(time.RFC3339)
	s.API.URL, s.Kafka.Brokers, s.Listen = "http://127.0.0.1:1/v2", "127.0.0.1:1", "off" // Whoever goes past the links finds nobody there.
	s.Topics.Partitions, s.Topics.Shards = "3", "3"
	if a.plan.Lists {
		s.Streams, s.IM.URL = "groups/*,chatrooms/*", "http://127.0.0.1:1/v1"
	}
	if a.plan.Statistics {
		s.Streams += ",statistics/messages"
		s.Statistics.Units = "hour"
	}
	if a.plan.Files {
		s.Checkpoint = "file:" + a.folder
	}
	s.API.Rate, s.API.PageSize, s.API.Parallel = "6000/m", itoa(a.plan.page(d)), pick("1", "2", "4")
	s.Poll, s.Overlap = pick("2s", "10s", "30s"), pick("1s", "2s", "5s", "30s")
	s.PollIdle = "30s"
	if a.plan.LiveFirst {
		s.Catchup = pick("ordered", "live-first")
	}
	s.Recheck = pick("10m,24h", "10m,24h", "5m", "off")
	// kafka-go's pool of zstd decoders holds channels, which belong to the bubble that made them.
	s.Kafka.Compression = pick("snappy", "none")
	s.Kafka.TransactionTimeout = pick("3m", "30s")
	if a.plan.Memory > 0 { // A window that is streamed has to be read within that.
		s.Kafka.TransactionTimeout = "3m"
	}
	if a.plan.Formats {
		s.EventFormat, s.SchemaRegistry.URL = pick("json", "avro"), "http://127.0.0.1:1"
	}
	if change != nil {
		change(s)
	}
	cfg, err := s.Parse()
	if err != nil {
		return nil, err
	}
	cfg.Source.Transport, cfg.Kafka.Transport = l, l.client
	if cfg.Sink.Schemas != nil {
		cfg.Sink.Schemas = &a.schemas
	}
	cfg.WindowBytes, cfg.MemoryBytes = a.plan.Memory, a.plan.Memory
	return cfg, nil
}

// allowed is how many bytes of rows a process may hold: those that wait, one part of a window that is streamed, and two pages of each window
// that is fetched.
func allowed(cfg *settings.Config) int {
	const row = 700
	return 2*cfg.MemoryBytes + cfg.Parallel*2*cfg.Source.PageSize*row
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
func (a *app) start(ctx context.Context) (*process, error) {
	a.mu.Lock()
	a.started++
	name := a.name("process " + itoa(a.started))
	a.mu.Unlock()
	p := &process{link: a.connect(name), name: name, done: make(chan struct{})}
	cfg, err := a.configure(name, p.link, nil)
	if err != nil {
		return nil, err
	}
	// What is rejected is not found again by its id, and what is late by its time can be seen long before it is published.
	if api := &a.plan.API; a.plan.Memory > 0 && api.IrregularRows == 0 && api.Late == 0 && a.slack() == 0 {
		p.process, p.allowed = name, allowed(cfg)
	}
	ctx, p.stop = context.WithCancel(ctx)
	go func() {
		defer close(p.done)
		defer p.stop()
		p.err = operate.Run(ctx, cfg, slog.New(&logged{trace: a.trace, who: name, link: p.link}), operate.RunOptions{
			Version: "world", Join: a.roster.join(p.link),
		})
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
