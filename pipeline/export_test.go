package pipeline

// AllFree tells that nobody holds anything of what the bounds are of.
func (b *Bounds) AllFree(fetches, streamed int64) bool {
	return b.fetches.TryAcquire(fetches) && b.memory.TryAcquire(b.memoryBytes) && b.streamed.TryAcquire(streamed)
}
