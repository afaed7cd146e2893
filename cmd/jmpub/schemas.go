package main

import (
	"context"
	"fmt"

	"github.com/jmpub/jmpub/internal/registry"
)

// greetRegistry makes the first contact with the schema registry, and learns the ids of the schemas. One that answers, but is busy
// or broken, is waited for; one that does not answer at all is most likely a wrong setting.
func (a *parts) greetRegistry(ctx context.Context) error {
	check, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	switch err := a.sink.EnsureSchemas(check); {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil:
		return nil
	case check.Err() == nil:
		return err
	case registry.Answered(err):
		return a.sink.EnsureSchemas(ctx)
	default:
		return fmt.Errorf("the schema registry did not answer within %s; check JMPUB_SCHEMA_REGISTRY_URL: %w", connectTimeout, err)
	}
}
