package operate

import "github.com/jmpub/jmpub/internal/usage"

// Confirm says what is about to happen, if there is something to say, and asks whether to go on.
type Confirm func(question string) bool

// errNotConfirmed is the answer no.
func errNotConfirmed() error {
	return usage.Errorf("nothing was changed: answer yes, or give --yes where nobody can answer")
}
