package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/usage"
)

const simHelp = `Serve a simulated Report API that takes what the official SDKs send (or, with --strict, what the documents allow), with
switches for everything that its documents leave open and faults by rate. The history is a pure function of the seed, so it needs no memory, and the same seed gives
the same messages.

Besides the API under /v2 it answers the lists of users, groups and chatrooms of the IM REST API under /v1,
/sim/truth?begin=RFC3339&end=RFC3339[&stream=...] with what the history holds, as JSON lines, and /sim/stats with its counters.`

const simExamples = `  jmpub sim
  jmpub sim --listen 127.0.0.1:8080 --rate 50 --late 0.01 --late-by 30s --rate-limited 0.01 --truncated 0.01
  jmpub sim --apps 1000 > apps.yaml
  curl -u KEY:SECRET 'http://127.0.0.1:8080/v2/messages?count=10&begin_time=2026-11-01%2010:00:00&end_time=2026-11-01%2010:01:00'`

func newSim() *cobra.Command {
	o := sim.Defaults()
	listen, clock := "127.0.0.1:8080", string(o.Clock)
	apps := 1
	var burstAgo time.Duration
	cmd := &cobra.Command{
		Use: "sim", Short: "Serve a simulated Report API", Long: simHelp, Example: simExamples, Args: noArgs,
	}
	f := cmd.Flags()
	f.StringVar(&listen, "listen", listen, "address to serve on")
	f.StringVar(&o.AppKey, "app-key", o.AppKey, "app key that is let in")
	f.StringVar(&o.MasterSecret, "master-secret", o.MasterSecret, "its master secret")
	f.IntVar(&apps, "apps", apps, "serve so many apps, each with a history of its own, and print the file for JMPUB_APPS_FILE")
	f.Uint64Var(&o.Seed, "seed", o.Seed, "another seed is another history")
	f.Float64Var(&o.Rate, "rate", o.Rate, "mean number of messages a second")
	f.BoolVar(&o.Daily, "daily", o.Daily, "follow the day: quiet at night, busy in the evening")
	f.IntVar(&o.TextBytes, "text-bytes", 0, "text messages have up to so many bytes of text; 0 is what people write")
	f.IntVar(&o.Burst, "burst", 0, "messages besides, all in the second that lies --burst-ago back")
	f.DurationVar(&burstAgo, "burst-ago", 10*time.Minute, "how long before the start of the simulator that second is")
	f.IntVar(&o.Users, "users", o.Users, "users that exist at a time")
	f.IntVar(&o.Groups, "groups", o.Groups, "groups that exist at a time")
	f.IntVar(&o.Rooms, "rooms", o.Rooms, "chatrooms that exist at a time")
	f.DurationVar(&o.ChurnEvery, "churn", 0, "how often, from now on, a user, a group and a chatroom appear and the oldest are deleted; 0 is never")
	f.Float64Var(&o.IrregularRows, "irregular", o.IrregularRows, "fraction (0 to 1) of rows that are hard or impossible to turn into an event")
	f.Float64Var(&o.NullRows, "null", o.NullRows, "fraction (0 to 1) of rows that are a bare null")
	f.IntVar(&o.PerMinute, "per-minute", o.PerMinute, "requests a minute that are answered; 0 is no limit")
	f.BoolVar(&o.QuotaHeader, "quota-header", o.QuotaHeader, "spell the rate header X-Rate-Limit-Quota")
	f.BoolVar(&o.NoRateHeaders, "no-rate-headers", o.NoRateHeaders, "send no rate headers")
	f.BoolVar(&o.RetryAfter, "retry-after", o.RetryAfter, "send Retry-After with a 429")
	f.DurationVar(&o.CursorTTL, "cursor-ttl", o.CursorTTL, "life of a cursor")
	f.DurationVar(&o.Latency, "latency", o.Latency, "time that each reply takes")
	f.DurationVar(&o.LatencyJitter, "latency-jitter", o.LatencyJitter, "time that it may take more")
	f.BoolVar(&o.Gzip, "gzip", o.Gzip, "compress replies for clients that accept it")
	f.StringVar(&clock, "clock", clock, "clock that sorts and filters: msg_ctime or create_time")
	f.BoolVar(&o.BeginStrict, "begin-strict", o.BeginStrict, "exclude begin_time itself")
	f.BoolVar(&o.EndStrict, "end-strict", o.EndStrict, "exclude end_time itself")
	f.BoolVar(&o.EndMillis, "end-millis", o.EndMillis, "an end_time of :59 ends at :59.000, not at :59.999")
	f.BoolVar(&o.CursorAtEnd, "cursor-at-end", o.CursorAtEnd, "send a cursor with the last page too")
	f.BoolVar(&o.EmptyPages, "empty-pages", o.EmptyPages, "put an empty page before each page behind the first")
	f.BoolVar(&o.ConstantCursor, "constant-cursor", o.ConstantCursor, "give all pages of a window the same cursor")
	f.BoolVar(&o.NoTotal, "no-total", o.NoTotal, "leave the total out of pages")
	f.BoolVar(&o.EmptyCursor, "empty-cursor", o.EmptyCursor, "send an empty cursor where there is none")
	f.BoolVar(&o.RoomsInMessages, "rooms-in-messages", o.RoomsInMessages, "have chatroom rows in /messages")
	f.Float64Var(&o.Late, "late", o.Late, "fraction (0 to 1) of rows that appear late")
	f.DurationVar(&o.LateFrom, "late-from", 0, "how late they are at least")
	f.DurationVar(&o.LateBy, "late-by", time.Minute, "how late they are at most")
	f.BoolVar(&o.Drift, "drift", o.Drift, "let the pages of a window see rows that appeared since its first one")
	f.IntVar(&o.ExpiredStatus, "expired-status", o.ExpiredStatus, "HTTP status that answers an expired cursor")
	f.IntVar(&o.ExpiredCode, "expired-code", o.ExpiredCode, "code that answers an expired cursor")
	f.IntVar(&o.GroupCode, "group-code", o.GroupCode, "code that answers an unknown group: 899006 or 899045")
	f.BoolVar(&o.OldIsError, "old-is-error", o.OldIsError, "refuse times before the history")
	f.BoolVar(&o.Strict, "strict", false, "refuse requests that the documents forbid although clients send them: + for a space, text that is not escaped, "+
		"lists without the last slash, parameters that are unknown or go with a cursor")
	f.BoolVar(&o.RichBodies, "rich-bodies", false, "have nested extras and sizes beyond 31 bits in messages, which the Java SDK cannot read")
	f.BoolVar(&o.NoStatistics, "no-statistics", o.NoStatistics, "refuse statistics, as for an app that does not pay for them")
	f.IntVar(&o.NoStatisticsStatus, "no-statistics-status", o.NoStatisticsStatus, "HTTP status of that refusal")
	f.IntVar(&o.NoStatisticsCode, "no-statistics-code", o.NoStatisticsCode, "code of that refusal")
	f.DurationVar(&o.StatisticsLag, "statistics-lag", o.StatisticsLag, "how far statistics are behind")
	f.BoolVar(&o.ExtraPeriod, "extra-period", o.ExtraPeriod, "answer statistics of a period more than asked for")
	f.BoolVar(&o.BareGroups, "bare-groups", o.BareGroups, "list groups as numbers alone")
	f.Float64Var(&o.RateLimited, "rate-limited", 0, "fraction (0 to 1) of requests answered 429 with headers")
	f.Float64Var(&o.RateLimitedBare, "rate-limited-bare", 0, "fraction (0 to 1) of requests answered 429 without headers")
	f.Float64Var(&o.ServerError, "server-error", 0, "fraction (0 to 1) of requests answered 500")
	f.Float64Var(&o.HTMLError, "html-error", 0, "fraction (0 to 1) of requests answered 502 with HTML")
	f.Float64Var(&o.HTMLPage, "html-page", 0, "fraction (0 to 1) of requests answered 200 with HTML")
	f.Float64Var(&o.Truncated, "truncated", 0, "fraction (0 to 1) of replies that are cut")
	f.Float64Var(&o.Malformed, "malformed", 0, "fraction (0 to 1) of replies that are no JSON")
	f.Float64Var(&o.Dropped, "dropped", 0, "fraction (0 to 1) of connections closed without a reply")
	f.Float64Var(&o.DroppedHeaders, "dropped-headers", 0, "fraction (0 to 1) of connections closed after the headers")
	f.Float64Var(&o.DroppedMidway, "dropped-midway", 0, "fraction (0 to 1) of connections closed within the reply")
	f.Float64Var(&o.Repeated, "repeated", 0, "fraction (0 to 1) of pages in which a row comes twice")
	f.Float64Var(&o.Displaced, "displaced", 0, "fraction (0 to 1) of pages in which a row comes twice in the place of another")
	f.Float64Var(&o.Shuffled, "shuffled", 0, "fraction (0 to 1) of pages in another order")
	f.Float64Var(&o.WrongTotal, "wrong-total", 0, "fraction (0 to 1) of replies with a wrong total")
	f.Float64Var(&o.Slow, "slow", 0, "fraction (0 to 1) of replies that come late")
	f.DurationVar(&o.SlowBy, "slow-by", time.Minute, "how late they come")
	f.Float64Var(&o.ExpiredEarly, "expired-early", 0, "fraction (0 to 1) of cursors that are refused")
	f.Float64Var(&o.Stale, "stale", 0, "fraction (0 to 1) of windows that are answered as of a while ago, as by a replica that is behind")
	f.DurationVar(&o.StaleBy, "stale-by", 10*time.Second, "how far behind")
	f.Float64Var(&o.WrongDate, "wrong-date", 0, "fraction (0 to 1) of replies whose Date is off, as of one of several nodes")
	f.DurationVar(&o.WrongDateBy, "wrong-date-by", 70*24*time.Hour, "by how much it is ahead; behind where that is negative")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o.Clock, o.ChurnSince = sim.Clock(clock), time.Now()
		o.BurstAt = o.ChurnSince.Add(-burstAgo)
		api, err := simulated(cmd, o, apps)
		if err != nil {
			return err
		}
		var lc net.ListenConfig
		listener, err := lc.Listen(cmd.Context(), "tcp", listen)
		if err != nil {
			return usage.Errorf("--listen: %w", err)
		}
		warnOfOthers(cmd, listen)
		base := "http://" + listener.Addr().String()
		fmt.Fprintf(cmd.ErrOrStderr(), "simulated Report API at %s/v2, lists at %s/v1, app key %s, master secret %s\n"+
			"what it holds: %s/sim/truth?begin=...&end=...  counters: %s/sim/stats\n",
			base, base, o.AppKey, o.MasterSecret, base, base)
		if !o.Strict {
			listener = sim.TakeSpaces(listener)
		}
		return sim.Serve(cmd.Context(), listener, api)
	}
	return cmd
}

// simulated is the API of an app, or of many; the file that names them is printed then.
func simulated(cmd *cobra.Command, o sim.Options, apps int) (http.Handler, error) {
	const most = 100_000
	if apps < 1 || apps > most {
		return nil, usage.Errorf("--apps: %d is not between 1 and %d", apps, most)
	}
	if apps == 1 {
		api, err := sim.New(o)
		if err != nil {
			return nil, usage.Wrap(err)
		}
		return api, nil
	}
	all := sim.Alike(o, apps)
	api, err := sim.NewMany(all)
	if err != nil {
		return nil, usage.Wrap(err)
	}
	_, err = io.WriteString(cmd.OutOrStdout(), sim.AppsFile(all))
	return api, err
}

// warnOfOthers says so if an address to listen on is more than this machine's own.
func warnOfOthers(cmd *cobra.Command, listen string) {
	if host, _, err := net.SplitHostPort(listen); err != nil || host != "localhost" && !net.ParseIP(host).IsLoopback() {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s listens on %s, so whoever reaches this machine over the network can use it, and it is "+
			"for trying things out; --listen 127.0.0.1:PORT keeps it to this machine\n", cmd.CommandPath(), listen)
	}
}
