package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/jmpub/jmpub/internal/status"
)

// Process is a process, and what it says of itself and of the apps that it has.
type Process struct {
	// Group is the setting, Name what the process is called. Instance tells it from all others, also from one of the same name: a container's
	// first process is called as its predecessor was.
	Group, Name, Instance string
	// Release is its jmpub's.
	Release string
	Started time.Time
	// At is when it said this, by its own clock.
	At time.Time
	// Shards are how many it has, of ShardsTotal.
	Shards, ShardsTotal int
	// AppsFile is the same of two processes that have the same apps in their files; empty without a file.
	AppsFile string
	Apps     []status.AppState
}

// Record is a record of the topic. A nil value is a tombstone.
type Record struct{ Key, Value []byte }

// part is the value of a record: a process's state may take several, each of which has some of the apps.
type part struct {
	Version     int               `json:"version"`
	Group       string            `json:"group"`
	Process     string            `json:"process"`
	Instance    string            `json:"instance"`
	Release     string            `json:"release"`
	Started     time.Time         `json:"started_at"`
	At          time.Time         `json:"at"`
	Shards      int               `json:"shards"`
	ShardsTotal int               `json:"shards_total"`
	AppsFile    string            `json:"apps_file,omitempty"`
	Part        int               `json:"part"`
	Parts       int               `json:"parts"`
	Apps        []status.AppState `json:"apps"`

	// offset is where it stands.
	offset int64
}

const (
	// version is that of the form. It is raised when a reader of the former one would misunderstand.
	version = 1
	// appsOfPart is how many apps a record has: about 60 KB of them, and 200 KB where all of them have errors.
	appsOfPart = 200

	// The bounds of what is taken from a record, which anybody may have written.
	maxValue = 1 << 20
	maxParts = 1_000
	maxApps  = 1_000
	maxText  = 300
	maxError = 1_000
)

func (p *part) key() []byte {
	return fmt.Appendf(nil, "%s/%s/%s/%d", p.Group, p.Process, p.Instance, p.Part)
}

// Records are the state of a process, in parts.
func (p *Process) Records() ([]Record, error) {
	one := part{
		Version: version, Group: p.Group, Process: p.Name, Instance: p.Instance, Release: p.Release, Started: p.Started.UTC(), At: p.At.UTC(),
		Shards: p.Shards, ShardsTotal: p.ShardsTotal, AppsFile: p.AppsFile, Parts: max(1, (len(p.Apps)+appsOfPart-1)/appsOfPart),
	}
	records := make([]Record, one.Parts)
	for i := range records {
		one.Part, one.Apps = i, p.Apps[i*appsOfPart:min((i+1)*appsOfPart, len(p.Apps))]
		if one.Apps == nil {
			one.Apps = []status.AppState{}
		}
		value, err := json.Marshal(&one)
		if err != nil {
			return nil, fmt.Errorf("encode the process's state: %w", err)
		}
		records[i] = Record{one.key(), value}
	}
	return records, nil
}

// tombstone is the record that takes away a part of what a process has said.
func (p *Process) tombstone(number int) Record {
	return Record{Key: (&part{Group: p.Group, Process: p.Name, Instance: p.Instance, Part: number}).key()}
}

// decode reads a record. Anybody who may write to the topic can have put something else there, so everything is bounded.
func decode(key, value []byte) (*part, error) {
	if len(value) > maxValue {
		return nil, fmt.Errorf("it has %d bytes", len(value))
	}
	// encoding/json takes the last of two members of one name, and repairs text that is not UTF-8.
	if !jsontext.Value(value).IsValid() {
		return nil, errors.New("it is no JSON")
	}
	var p part
	if err := json.Unmarshal(value, &p); err != nil {
		return nil, fmt.Errorf("it has another form: %w", err)
	}
	if p.Version != version {
		return nil, fmt.Errorf("its version is %d, this jmpub reads %d", p.Version, version)
	}
	if string(key) != string(p.key()) {
		return nil, errors.New("its key is not that of its process")
	}
	return &p, p.check()
}

// check finds what no process says.
func (p *part) check() error {
	switch {
	case p.Parts < 1 || p.Parts > maxParts || p.Part < 0 || p.Part >= p.Parts:
		return fmt.Errorf("it is part %d of %d", p.Part, p.Parts)
	case len(p.Apps) > maxApps:
		return fmt.Errorf("it has %d apps", len(p.Apps))
	case p.Shards < 0 || p.Shards > p.ShardsTotal:
		return fmt.Errorf("it has %d of %d shards", p.Shards, p.ShardsTotal)
	case p.At.IsZero() || p.Started.IsZero():
		return errors.New("it has no time")
	case len(p.AppsFile) > maxText:
		return fmt.Errorf("its apps_file has %d bytes", len(p.AppsFile))
	}
	for name, text := range map[string]string{"group": p.Group, "process": p.Process, "instance": p.Instance, "release": p.Release} {
		if text == "" || len(text) > maxText {
			return fmt.Errorf("its %s has %d bytes", name, len(text))
		}
	}
	for i := range p.Apps {
		a := &p.Apps[i]
		if len(a.Error) > maxError {
			return fmt.Errorf("the error of its app %d has %d bytes", i, len(a.Error))
		}
		for name, text := range map[string]string{"app_key": a.AppKey, "topic_prefix": a.TopicPrefix, "state": a.State} {
			if text == "" || len(text) > maxText {
				return fmt.Errorf("the %s of its app %d has %d bytes", name, i, len(text))
			}
		}
	}
	return nil
}
