package operate

import (
	"context"
	"fmt"

	"github.com/jmpub/jmpub/internal/registry"
	"github.com/jmpub/jmpub/sink"
)

// greetRegistry makes the first contact with the schema registry, and learns the ids of the schemas. One that answers, but is busy
// or broken, is waited for; one that does not answer at all is most likely a wrong setting.
func greetRegistry(ctx context.Context, s *sink.Writer) error {
	check, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	switch err := s.EnsureSchemas(check); {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil:
		return nil
	case check.Err() == nil:
		return startError(err)
	case registry.Answered(err):
		return startError(s.EnsureSchemas(ctx))
	default:
		return startError(fmt.Errorf("the schema registry did not answer within %s; check JMPUB_SCHEMA_REGISTRY_URL: %w", connectTimeout, err))
	}
}
