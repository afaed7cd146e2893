package fleet

import (
	"cmp"
	"context"
	"errors"
	"time"
)

// Publisher tells the state of a process, every now and then and soon after it has changed.
type Publisher struct {
	state   func() *Process
	write   func(ctx context.Context, records []Record) error
	trouble func(error)
	// Every is how often the state is told where nothing changes; zero is every ten seconds. To be set before Run.
	Every   time.Duration
	changed chan struct{}
	// parts is how many records of the process may stand in the topic.
	parts int
}

const (
	// tellEvery is how often the state is told, tellSoon after how long one that has changed is: changes come together. So it is told once in
	// tellSoon at most.
	tellEvery = 10 * time.Second
	tellSoon  = time.Second
	// writeTime is how long a try may take, lastTime how long the last one, which a process that ends waits for.
	writeTime = 5 * time.Second
	lastTime  = 2 * time.Second
)

// NewPublisher makes one that says nothing before Run. state is what the process says of itself now. write writes records in their order; what it
// leaves written when it fails is not known, and it is tried again at the next time. trouble is told of each failure.
func NewPublisher(state func() *Process, write func(context.Context, []Record) error, trouble func(error)) *Publisher {
	return &Publisher{state: state, write: write, trouble: trouble, changed: make(chan struct{}, 1)}
}

// State is what the process says of itself now.
func (p *Publisher) State() *Process { return p.state() }

// Changed has the state told soon. It waits for nobody, and may be called at any time.
func (p *Publisher) Changed() {
	select {
	case p.changed <- struct{}{}:
	default: // It is about to be.
	}
}

// Run tells the state until ctx is done, and takes it back then: who ends by itself is not there any more.
func (p *Publisher) Run(ctx context.Context) {
	every := cmp.Or(p.Every, tellEvery)
	next := time.Now().Add(tellSoon)
	timer := time.NewTimer(tellSoon)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			p.takeBack(context.WithoutCancel(ctx)) // What is done is done; this has a time of its own.
			return
		case <-p.changed:
			if soon := time.Now().Add(tellSoon); soon.Before(next) {
				next = soon
				timer.Reset(tellSoon)
			}
		case <-timer.C:
			p.tell(ctx)
			next = time.Now().Add(every)
			timer.Reset(every)
		}
	}
}

// tell writes the state.
func (p *Publisher) tell(ctx context.Context) {
	process := p.state()
	records, err := process.Records()
	if err == nil {
		parts := len(records)
		for gone := parts; gone < p.parts; gone++ { // It has fewer apps than before.
			records = append(records, process.tombstone(gone))
		}
		p.parts = len(records) // What cannot be written may have arrived all the same.
		bounded, cancel := context.WithTimeoutCause(ctx, writeTime, errNoAnswer)
		defer cancel()
		if err = p.write(bounded, records); err == nil {
			p.parts = parts
		}
	}
	if err != nil && ctx.Err() == nil {
		p.trouble(err)
	}
}

var errNoAnswer = errors.New("no answer came from Kafka in time")

// takeBack takes the state away, if it is to be had at once; otherwise the process is not heard of from now on.
func (p *Publisher) takeBack(ctx context.Context) {
	if p.parts == 0 {
		return
	}
	process := p.state()
	records := make([]Record, p.parts)
	for i := range records {
		records[i] = process.tombstone(i)
	}
	ctx, cancel := context.WithTimeout(ctx, lastTime)
	defer cancel()
	_ = p.write(ctx, records) // Nobody is left to try again.
}
