package sim

import "time"

// churn is how the population changes: it is a window over the indices that moves by one each time. So what exists in a
// second is known without looking at any other, and no name comes back. The zero value never changes anything.
type churn struct {
	since, every int64 // seconds; every is 0 where nothing changes
	// most is how often it happens at most, so that ids of groups do not run into those of rooms.
	most int64
}

func newChurn(o *Options) churn {
	if o.ChurnEvery <= 0 {
		return churn{}
	}
	return churn{
		since: o.ChurnSince.Unix(), every: int64(o.ChurnEvery / time.Second),
		most: int64(maxPopulation - max(o.Users, o.Groups, o.Rooms)),
	}
}

// gone is how many of each kind have been deleted by a second. As many have appeared: those that exist have the indices
// from gone up to, but not including, gone plus the size of the population.
func (c *churn) gone(sec int64) int {
	if c.every == 0 || sec < c.since {
		return 0
	}
	return int(min((sec-c.since)/c.every, c.most))
}

// born is the second in which the i-th of a population of n appeared. The first n are older than the whole history.
func (c *churn) born(i, n int) int64 {
	if i < n {
		return firstBorn + int64(i)
	}
	return c.since + int64(i-n+1)*c.every
}

// firstBorn is when the first of each kind appeared, 2014-06-05 00:00:00 UTC.
const firstBorn = 1401926400
