// Package usage has the error of whoever called jmpub wrongly: a flag, an argument, a setting, or something that a setting
// names. The command ends with exit code 2 then, and has changed nothing.
package usage

import "fmt"

// Error is a mistake that the caller can correct.
type Error struct{ err error }

// Wrap makes a mistake of the caller's out of an error.
func Wrap(err error) error { return Error{err} }

// Errorf is fmt.Errorf for a mistake of the caller's.
func Errorf(format string, args ...any) error { return Error{fmt.Errorf(format, args...)} }

// Error implements error.
func (e Error) Error() string { return e.err.Error() }

// Unwrap returns the error that says what is wrong.
func (e Error) Unwrap() error { return e.err }
