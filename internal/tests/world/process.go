package world

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go/protocol/endtxn"

	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/tests/world/kafkamodel"
	"github.com/jmpub/jmpub/pipeline"
)

// link is what connects one process with the world. Safe for concurrent use.
type link struct {
	world  *World
	api    http.Handler
	client *kafkamodel.Client
	killed atomic.Bool

	// fleet is the one of the process; nil of a command.
	fleet *fleet

	// process is whose rows are counted, allowed how many bytes of them it may hold; none where empty.
	process string
	allowed int

	mu   sync.Mutex
	dice *dice
	// until when which fault holds.
	until map[Kind]time.Time
	// stopped, where it is not nil, has the process stopped at one of its messages; messages counts them.
	stopped  *Event
	messages int
	// atCommit, where it is not nil, is what begins when the process commits next.
	atCommit func()
}

// connect makes the link of a process, or of a command, to an API; name is unlike any other.
func (w *World) connect(name string, api http.Handler) *link {
	l := &link{world: w, api: api, dice: newDice(w.plan.Seed, name), until: make(map[Kind]time.Time)}
	l.client = w.kafka.Client(kafkamodel.ClientOptions{User: name, Fate: l.fate, Answered: l.answered})
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

// failAtCommit has something begin when the process commits next.
func (l *link) failAtCommit(begin func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.atCommit = begin
}

// isOut tells whether nothing goes between the process and its group.
func (l *link) isOut() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.left(Pause) > 0 || l.left(CutKafka) > 0 || l.left(CutGroup) > 0
}

// left is how long a fault still holds; zero where it does not.
func (l *link) left(kind Kind) time.Duration { return max(0, time.Until(l.until[kind])) }

// fate implements [kafkamodel.ClientOptions.Fate].
func (l *link) fate(m *kafkamodel.Message) kafkamodel.Fate {
	l.mu.Lock()
	defer l.mu.Unlock()
	const usual, slow, fifth = 3 * time.Millisecond, 2 * time.Second, 0.2
	if l.messages++; l.stopped != nil && l.messages == l.stopped.Message {
		until := time.Now().Add(l.stopped.For)
		if heals := l.world.began.Add(l.world.plan.For); until.After(heals) {
			until = heals
		}
		l.until[Pause] = until
	}
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
	if req, ends := m.Request.(*endtxn.Request); ends && req.Committed && l.atCommit != nil {
		f.Loss = losses[l.dice.IntN(len(losses))]
		go l.atCommit()
		l.atCommit = nil
		return f
	}
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
	l.api.ServeHTTP(reply, r)
	if l.process != "" {
		if held := l.world.custody.served(l.process, r, l.world.plan.API.Zone, reply); held > l.allowed {
			l.world.found("%s holds %d bytes of rows, %d are allowed", l.process, held, l.allowed)
			l.process = ""
		}
	}
	if l.killed.Load() {
		return nil, kafkamodel.ErrKilled
	}
	return reply.Result(), r.Context().Err()
}

// longestOverlap is the longest that is drawn.
const longestOverlap = 30 * time.Second

// settings are those of a process or a command, without an app; what may change between restarts is drawn for it.
func (w *World) settings(name string) *settings.Settings {
	d := newDice(w.plan.Seed, "settings of "+name)
	pick := func(of ...string) string { return of[d.IntN(len(of))] }
	s := settings.Defaults()
	s.API.TimeZone, s.Start = w.plan.API.Zone.String(), w.first.Format(time.RFC3339)
	s.API.URL, s.Kafka.Brokers, s.Listen = "http://127.0.0.1:1/v2", "127.0.0.1:1", "off" // Whoever goes past the links finds nobody there.
	s.Topics.Partitions, s.Topics.Shards = "3", itoa(shards)
	if w.plan.Lists {
		s.Streams, s.IM.URL = "groups/*,chatrooms/*", "http://127.0.0.1:1/v1"
	}
	if w.plan.Statistics {
		s.Streams += ",statistics/messages"
		s.Statistics.Units = "hour"
	}
	s.API.Rate, s.API.PageSize, s.API.Parallel = w.plan.Quota, itoa(w.plan.page(d)), pick("1", "2", "4")
	s.Poll, s.Overlap = pick("2s", "10s", "30s"), pick("1s", "2s", "5s", longestOverlap.String())
	s.PollIdle = "30s"
	if w.plan.LiveFirst {
		s.Catchup = pick("ordered", "live-first")
	}
	s.Publish = "settled"
	if early := newDice(w.plan.Seed, "early of "+name); w.plan.Early && early.chance(0.8) {
		s.Publish = "early"
	}
	s.Recheck = pick("10m,24h", "10m,24h", "5m", "off")
	// kafka-go's pool of zstd decoders holds channels, which belong to the bubble that made them.
	s.Kafka.Compression = pick("snappy", "none")
	s.Kafka.TransactionTimeout = pick("3m", "30s")
	if w.plan.Memory > 0 { // A window that is streamed has to be read within that.
		s.Kafka.TransactionTimeout = "3m"
	}
	fixed := &w.plan.Fixed
	s.Overlap, s.Recheck, s.Catchup = cmp.Or(fixed.Overlap, s.Overlap), cmp.Or(fixed.Recheck, s.Recheck), cmp.Or(fixed.Catchup, s.Catchup)
	if fixed.PageSize > 0 {
		s.API.PageSize = itoa(fixed.PageSize)
	}
	if w.plan.Formats {
		s.EventFormat, s.SchemaRegistry.URL = pick("json", "avro"), "http://127.0.0.1:1"
	}
	return s
}

// configure makes the settings of a command about the app, or of a process that has it alone.
func (a *app) configure(name string, l *link, change func(*settings.Settings)) (*settings.Config, error) {
	s := a.settings(name)
	s.AppKey, s.MasterSecret = a.api.AppKey, secret.New(a.api.MasterSecret)
	if a.plan.Files {
		s.Checkpoint = "file:" + a.folder
	}
	if change != nil {
		change(s)
	}
	cfg, err := s.Parse()
	if err != nil {
		return nil, err
	}
	a.plug(cfg, l)
	return cfg, nil
}

// plug has an app's adapters, or those that several share, go by a link.
func (w *World) plug(cfg *settings.Config, l *link) {
	cfg.Source.Transport, cfg.Kafka.Transport = l, l.client
	if cfg.Sink.Schemas != nil {
		cfg.Sink.Schemas = &w.schemas
	}
	cfg.WindowBytes, cfg.MemoryBytes = w.plan.Memory, w.plan.Memory
}

// allowed is how many bytes of rows a process may hold: those that wait, one part of a window that is streamed, and two pages of each window
// that is fetched or streamed.
func allowed(cfg *settings.Config) int {
	const row, streamed = 700, 1
	return 2*cfg.MemoryBytes + (cfg.Parallel+streamed)*2*cfg.Source.PageSize*row
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

// log is that of the process, or of one of its apps.
func (p *process) log(about string) *slog.Logger {
	return slog.New(&logged{trace: p.world.trace, who: p.name + about, link: p.link})
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
