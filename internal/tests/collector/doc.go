// Package collector sends what jmpub traces to the receiver of the OpenTelemetry Collector itself. It is a module of its own, so that the
// collector is no dependency of jmpub: make collector
package collector
