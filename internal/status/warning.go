package status

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jmpub/jmpub/internal/words"
)

// Warning is what will go wrong if nobody acts: a sentence in English, and what it says as a code and facts, for who has other words for it.
// Times are those of RFC 3339, durations are seconds.
type Warning struct {
	Code string `json:"code"`
	// AppKey and TopicPrefix are the app, where several are told of; it stands in Text too.
	AppKey      string            `json:"app_key,omitempty"`
	TopicPrefix string            `json:"topic_prefix,omitempty"`
	Text        string            `json:"text"`
	Facts       map[string]string `json:"facts"`
}

// The codes of warnings, with their facts.
const (
	WarningPaused        = "paused"         // since, by
	WarningPausedStreams = "paused_streams" // streams (how many), since, by
	WarningClocks        = "clocks"         // api, local, difference
	WarningRetention     = "retention"      // stream, until, left

	// WarningKafka and those below say what makes messages late; all have since.
	WarningKafka      = "kafka_silent"
	WarningKafkaSlow  = "kafka_slow"  // took
	WarningAPIFailing = "api_failing" // class
	WarningAPISlow    = "api_slow"    // took
	WarningQuota      = "quota"       // used (in the last minute by this process), limit (where the API tells it)
	WarningRetries    = "retries"     // error
)

func textsOf(warnings []Warning) []string {
	var texts []string
	for i := range warnings {
		texts = append(texts, warnings[i].Text)
	}
	return texts
}

// warnings are those about all apps; never nil.
func (p *Process) warnings(now time.Time) []Warning {
	if d, is := p.silence(now); is {
		return []Warning{d.warning()}
	}
	return []Warning{}
}

// toldOf are all warnings of the app, those first that say what makes its messages late. The caller holds the lock.
func (s *Status) toldOf(now time.Time) []Warning {
	var all []Warning
	for _, d := range s.delays(now) {
		all = append(all, d.warning())
	}
	return append(all, s.warnings(now)...)
}

// of is the warning of one of several apps.
func (w Warning) of(s *Status) Warning {
	w.AppKey, w.TopicPrefix, w.Text = s.opts.AppKey, s.opts.TopicPrefix, s.says(w.Text)
	return w
}

// warnings are all that there are of the app. The caller holds the lock.
func (s *Status) warnings(now time.Time) []Warning {
	return slices.Concat(s.pauses(), s.disagreement(), s.leaving(now))
}

// pauses says what is paused. The caller holds the lock.
func (s *Status) pauses() []Warning {
	p := &s.paused
	if !p.Any() {
		return nil
	}
	since := p.At.In(s.opts.Zone).Format(time.RFC3339)
	w := Warning{Code: WarningPaused, Facts: map[string]string{"since": since, "by": p.By}}
	what := "the app is"
	if !p.App {
		what = words.Count(len(p.Streams), "stream is", "streams are")
		w.Code, w.Facts["streams"] = WarningPausedStreams, strconv.Itoa(len(p.Streams))
	}
	w.Text = fmt.Sprintf("%s paused since %s, by %s: nothing of it is published", what, since, p.By)
	return []Warning{w}
}

// disagreement says what the clocks say while they disagree. The caller holds the lock.
func (s *Status) disagreement() []Warning {
	if !s.clocks.Disagree {
		return nil
	}
	api, local, difference := s.clocks.Server.Format(time.RFC3339), s.clocks.Local.Format(time.RFC3339), s.difference().Round(time.Second)
	return []Warning{{
		Code: WarningClocks, Text: fmt.Sprintf("the API's clock and the local one disagree: %s and %s, a difference of %s", api, local, difference),
		Facts: map[string]string{"api": api, "local": local, "difference": seconds(difference)},
	}}
}

// retentionWarning says that what is not published of a stream will leave the API's history.
func (s *Status) retentionWarning(stream string, unread time.Time, left time.Duration) Warning {
	until := unread.In(s.opts.Zone).Format(time.RFC3339)
	left = left.Round(time.Minute)
	return Warning{
		Code:  WarningRetention,
		Text:  fmt.Sprintf("%s is published up to %s; what follows begins to leave the API's history in %s", stream, until, left),
		Facts: map[string]string{"stream": stream, "until": until, "left": seconds(left)},
	}
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }
