package kafka

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/describeconfigs"
	"github.com/segmentio/kafka-go/protocol/endtxn"
	"github.com/segmentio/kafka-go/protocol/initproducerid"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/segmentio/kafka-go/protocol/rawproduce"

	"github.com/jmpub/jmpub/pipeline"
)

// TestConfigurationIsReadForAllApps asks for the configuration of two topics a few hundred times within moments: few requests are sent, each
// gets the answer to one that was sent after it asked, and for its own topic. What is not a question alone is sent each time.
func TestConfigurationIsReadForAllApps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		sent, ended := 0, 0
		carrier := roundTripper(func(ctx context.Context, request kafkago.Request) (kafkago.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			asked, ok := request.(*describeconfigs.Request)
			if !ok {
				ended++
				return &endtxn.Response{}, nil
			}
			sent++
			answer := describeconfigs.ResponseResource{ResourceName: asked.Resources[0].ResourceName, ConfigEntries: []describeconfigs.ResponseConfigEntry{
				{ConfigName: "max.message.bytes", ConfigValue: strconv.Itoa(int(time.Now().UnixMilli()))},
			}}
			mu.Unlock()
			err := pipeline.Sleep(ctx, time.Second)
			mu.Lock()
			return &describeconfigs.Response{Resources: []describeconfigs.ResponseResource{answer}}, err
		})
		client := &kafkago.Client{Addr: kafkago.TCP("fake:9092"), Transport: newSharing(carrier), Timeout: time.Minute}
		var asking sync.WaitGroup
		for i := range 300 {
			asking.Go(func() {
				time.Sleep(time.Duration(i) * 10 * time.Millisecond)
				topic, asked := "t"+strconv.Itoa(i%2), time.Now().UnixMilli()
				res, err := client.DescribeConfigs(t.Context(), &kafkago.DescribeConfigsRequest{Resources: []kafkago.DescribeConfigRequestResource{
					{ResourceType: kafkago.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{"max.message.bytes"}},
				}})
				if err != nil || res.Resources[0].ResourceName != topic {
					t.Errorf("%+v, %v; want that of %s", res, err, topic)
					return
				}
				at, err := strconv.ParseInt(res.Resources[0].ConfigEntries[0].ConfigValue, 10, 64)
				if err != nil || at < asked {
					t.Errorf("what was asked at %d was sent at %d, %v", asked, at, err)
				}
				if _, err = client.EndTxn(t.Context(), &kafkago.EndTxnRequest{TransactionalID: "id"}); err != nil {
					t.Error(err)
				}
			})
		}
		asking.Wait()
		if sent > 20 || ended != 300 {
			t.Errorf("%d requests for the configuration, %d for 300 transactions", sent, ended)
		}
	})
}

// TestAFailureIsToldToAllWhoAsk has a request fail that several wait for. Who asks then sends another one.
func TestAFailureIsToldToAllWhoAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		answers := []error{broken, broken, nil}
		s := newSharing(roundTripper(func(ctx context.Context, _ kafkago.Request) (kafkago.Response, error) {
			err := answers[0]
			answers = answers[1:]
			return &describeconfigs.Response{}, errors.Join(pipeline.Sleep(ctx, time.Second), err)
		}))
		errs := make([]error, 4)
		var asking sync.WaitGroup
		for i := range errs {
			asking.Go(func() {
				time.Sleep(time.Duration(i) * 400 * time.Millisecond)
				_, errs[i] = s.RoundTrip(t.Context(), nil, &describeconfigs.Request{})
			})
		}
		asking.Wait()
		failed := slices.IndexFunc(errs, func(err error) bool { return err == nil })
		if failed != 3 || len(answers) != 0 {
			t.Errorf("the answers are %v, and %v was not asked for", errs, answers)
		}
	})
}

// TestAppsBeginAFewAtATime has many apps fence and say so at once, while some requests are never answered: few are under way at a time that
// are, nobody waits for long for those that are not, and nobody at all who is in a transaction, or has left.
func TestAppsBeginAFewAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		underWay, most, stuck := 0, 0, 3*mostBegins
		s := newSharing(roundTripper(func(ctx context.Context, request kafkago.Request) (kafkago.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			if _, ok := request.(*rawproduce.Request); ok {
				return &produce.Response{}, nil
			}
			wait := 10 * time.Millisecond
			if stuck--; stuck >= 0 {
				wait = time.Hour
			} else if underWay++; underWay > most {
				most = underWay
			}
			mu.Unlock()
			err := pipeline.Sleep(ctx, wait)
			mu.Lock()
			if wait < time.Second {
				underWay--
			}
			return &initproducerid.Response{}, err
		}))
		began := time.Now()
		var beginning, waiting sync.WaitGroup
		for i := range 3*mostBegins + 300 {
			begin := func() {
				var request kafkago.Request = &initproducerid.Request{}
				if i%2 == 0 {
					request = &produce.Request{}
				}
				_, _ = s.RoundTrip(t.Context(), nil, request)
			}
			if i < 3*mostBegins {
				waiting.Go(begin)
				synctest.Wait()
			} else {
				beginning.Go(begin)
			}
		}
		if _, err := s.RoundTrip(t.Context(), nil, &rawproduce.Request{}); err != nil || time.Since(began) > 0 {
			t.Errorf("a transaction waits for %s, %v", time.Since(began), err)
		}
		left, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.RoundTrip(left, nil, &initproducerid.Request{}); !errors.Is(err, context.Canceled) {
			t.Errorf("who has left gets %v", err)
		}
		beginning.Wait()
		if took := time.Since(began); most != mostBegins || took < 3*crowdPatience || took > 4*crowdPatience {
			t.Errorf("%d were under way at the same time, and all have begun after %s", most, took)
		}
		waiting.Wait()
		if len(s.begins) > 0 {
			t.Errorf("%d are left", len(s.begins))
		}
	})
}
