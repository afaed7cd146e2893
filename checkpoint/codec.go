package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/jmpub/jmpub/pipeline"
)

// version is that of the forms. It is raised when a reader of the former one would misunderstand.
const version = 1

// errNewer is a value that a later jmpub wrote.
var errNewer = errors.New("it was written by a newer jmpub")

// decodeFault is the error of a value that cannot be used. where is where it stands, hint what can be done if it is
// damaged.
func decodeFault(what, where, hint string, err error) error {
	fault := &pipeline.Fault{Class: pipeline.Permanent, Op: "read " + what + " in " + where, Err: err, Hint: hint}
	if errors.Is(err, errNewer) {
		fault.Hint = "run that jmpub or a later one"
	}
	return fault
}

// encodeJSON writes a value of one of the forms.
func encodeJSON(what string, v any) ([]byte, error) {
	value, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", what, err)
	}
	return value, nil
}

// decodeJSON reads a value of one of the forms into v, a pointer to a struct.
func decodeJSON(data []byte, v any) error {
	// encoding/json takes the last of two members of one name, and repairs text that is not UTF-8.
	if !jsontext.Value(data).IsValid() {
		_, err := jsontext.AppendFormat(nil, data)
		return fmt.Errorf("it is damaged: %w", err)
	}
	var form struct {
		Version *int `json:"version"`
	}
	switch err := json.Unmarshal(data, &form); {
	case err != nil:
		return damagedBy(err)
	case form.Version == nil || *form.Version < 1:
		return damaged("it has no version")
	case *form.Version > version:
		return fmt.Errorf("%w: its version is %d, this one reads up to %d", errNewer, *form.Version, version)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return damagedBy(err)
	}
	return nil
}

// isNewer tells, of a value that could not be read, that a newer jmpub wrote it for the app. Anybody else may write a version too.
func isNewer(err error, value []byte, appKey string) bool {
	var form struct {
		AppKey string `json:"app_key"`
	}
	return errors.Is(err, errNewer) && json.Unmarshal(value, &form) == nil && form.AppKey == appKey
}

func damaged(format string, args ...any) error { return fmt.Errorf("it is damaged: "+format, args...) }

// damagedBy puts an error of encoding/json, which speaks of Go, into words about the value.
func damagedBy(err error) error {
	wrong, ok := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case !ok:
		return damaged("%w", err)
	case wrong.Field == "":
		return damaged("it is a JSON %s, not an object", wrong.Value)
	default:
		return damaged("%s cannot be a %s", wrong.Field, wrong.Value)
	}
}

// required names the fields that are not there. It may change the map.
func required(fields map[string]bool) error {
	maps.DeleteFunc(fields, func(_ string, there bool) bool { return there })
	if len(fields) == 0 {
		return nil
	}
	return damaged("%s is missing", strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
}

// checkWindow tells whether a window can be one that was asked for.
func checkWindow(w pipeline.Window) error {
	switch {
	case !wholeSecond(w.Begin):
		return damaged("begin_time is not a whole second")
	case !wholeSecond(w.End):
		return damaged("end_time is not a whole second")
	case w.End.Before(w.Begin):
		return damaged("end_time is before begin_time")
	}
	return nil
}

// wholeSecond tells whether a time can bound a window. The zero time is what a program has that knows none.
func wholeSecond(t time.Time) bool { return !t.IsZero() && t.Nanosecond() == 0 }

// utc is a window with both times in UTC.
func utc(w pipeline.Window) pipeline.Window {
	return pipeline.Window{Begin: w.Begin.UTC(), End: w.End.UTC()}
}
