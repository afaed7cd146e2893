// Package operate has what jmpub's commands do, without the command line: each function takes a checked configuration and
// typed options, and returns its result as a struct. What only a person can decide is a [Confirm] that the caller passes;
// nothing here reads a flag, the environment or a terminal.
//
// A command opens the adapters that it needs through a wiring and closes them in the end. Errors of an operator who asked for
// something that cannot be are [usage.Error]s, which name the option by its flag.
package operate
