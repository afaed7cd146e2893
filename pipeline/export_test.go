package pipeline

import "time"

// AfterBacklog is the position after a window of the oldest range of the backlog.
func (c *Checkpoint) AfterBacklog(read Backlog, overlap time.Duration) Checkpoint {
	return c.afterBacklog(read, overlap)
}

// AllFree tells that nobody holds anything of what the bounds are of.
func (b *Bounds) AllFree(fetches, streamed int64) bool {
	return b.fetches.TryAcquire(fetches) && b.memory.TryAcquire(b.memoryBytes) && b.streamed.TryAcquire(streamed)
}
