package source

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func dated(t time.Time) http.Header {
	return http.Header{"Date": {t.UTC().Format(http.TimeFormat)}}
}

func TestClockIsUnknownAtFirst(t *testing.T) {
	if now, ok := newClock(nil).now(); ok {
		t.Errorf("got %v, want it unknown", now)
	}
}

func TestClockNeverPassesTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock(nil)
		const ahead = 90*time.Second + 345*time.Millisecond
		for i := range 100 {
			sent := time.Now()
			time.Sleep(70 * time.Millisecond)
			stamp := time.Now().Add(ahead)
			time.Sleep(30 * time.Millisecond)
			if _, ok := c.observe(dated(stamp), sent, time.Now()); !ok {
				t.Fatal("the date was not understood")
			}
			now := c.read().server
			behind := time.Now().Add(ahead).Sub(now)
			if behind < 0 || behind >= dateResolution+30*time.Millisecond {
				t.Fatalf("reply %d: the clock is %v behind the server's", i, behind)
			}
			if i > 20 && behind > 140*time.Millisecond {
				t.Fatalf("reply %d: the clock is still %v behind the server's", i, behind)
			}
		}
	})
}

func TestClockFollowsAStepBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock(nil)
		see := func(ahead time.Duration) time.Duration {
			sent := time.Now()
			time.Sleep(10 * time.Millisecond)
			c.observe(dated(time.Now().Add(ahead)), sent, time.Now())
			now := c.read().server
			return time.Until(now)
		}
		for range 40 {
			see(time.Minute)
			time.Sleep(130 * time.Millisecond)
		}
		if got := see(30 * time.Second); got > 30*time.Second || got < 29*time.Second {
			t.Errorf("after a step back to 30s ahead the clock is %v ahead", got)
		}
		if got := see(2 * time.Minute); got > 2*time.Minute || got < 119*time.Second {
			t.Errorf("after a step forward to 2m ahead the clock is %v ahead", got)
		}
	})
}

func TestClockForgetsDrift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock(nil)
		for i := range 2000 { // The server's clock loses a millisecond in each second.
			behind := time.Duration(i) * time.Millisecond
			now := time.Now()
			c.observe(dated(now.Add(-behind)), now, now)
			time.Sleep(997 * time.Millisecond)
		}
		now := c.read().server
		truth := time.Now().Add(-2 * time.Second)
		if ahead := now.Sub(truth); ahead > 20*time.Millisecond {
			t.Errorf("the clock is %v ahead of the server's", ahead)
		}
	})
}

func TestClockWithoutDates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, h := range map[string]http.Header{
			"none": {}, "malformed": {"Date": {"yesterday"}}, "number": {"Date": {"1767225600"}},
		} {
			c := newClock(nil)
			if _, ok := c.observe(h, time.Now(), time.Now()); ok {
				t.Errorf("%s: a date was found", name)
			}
			if now, ok := c.now(); !ok || !now.Equal(time.Now()) {
				t.Errorf("%s: got %v %v, want the local clock", name, now, ok)
			}
			// One with a Date decides from then on, also against later ones without.
			c.observe(dated(time.Now().Add(time.Hour)), time.Now(), time.Now())
			c.observe(h, time.Now(), time.Now())
			if now := c.read().server; !now.After(time.Now().Add(59 * time.Minute)) {
				t.Errorf("%s: got %v, want the server's clock", name, now)
			}
		}
	})
}

// TestClockTakesAbsurdDates has the dates of replies be as far off as a date can be: they stay on their side of the present.
func TestClockTakesAbsurdDates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for date, ahead := range map[string]bool{"Fri, 31 Dec 9999 23:59:59 GMT": true, "Mon, 01 Jan 0001 00:00:00 GMT": false} {
			c := newClock(nil)
			for range 100 {
				time.Sleep(time.Hour)
				if _, ok := c.observe(http.Header{"Date": {date}}, time.Now(), time.Now()); !ok {
					t.Fatalf("%s is no date", date)
				}
				r := c.read()
				if r.server.After(time.Now()) != ahead || r.difference() > 0 != ahead || r.now().After(time.Now()) {
					t.Fatalf("%s: got %v, a difference of %v, and now is %v", date, r.server, r.difference(), r.now())
				}
			}
		}
	})
}

// TestClockIsNotSteadyOnceTheLocalOneIsSet sets the local clock between two replies.
func TestClockIsNotSteadyOnceTheLocalOneIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock(nil)
		off := time.Duration(0)
		c.wall = func() time.Time { return time.Now().Add(off) }
		for range 10 {
			c.observe(dated(time.Now()), time.Now(), time.Now())
			time.Sleep(time.Minute)
		}
		if r := c.read(); r.steady != 10*time.Minute {
			t.Errorf("steady for %v, want 10m", r.steady)
		}
		off = time.Hour
		if r := c.read(); r.steady != 0 {
			t.Errorf("steady for %v behind a step", r.steady)
		}
		c.observe(dated(time.Now()), time.Now(), time.Now())
		time.Sleep(time.Minute)
		if r := c.read(); r.steady != time.Minute {
			t.Errorf("steady for %v a minute behind a step", r.steady)
		}
	})
}
