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
		client := &kafkago.Client{Addr: kafkago.TCP("fake:9092"), Transport: &sharing{RoundTripper: carrier}, Timeout: time.Minute}
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
		s := &sharing{RoundTripper: roundTripper(func(ctx context.Context, _ kafkago.Request) (kafkago.Response, error) {
			err := answers[0]
			answers = answers[1:]
			return &describeconfigs.Response{}, errors.Join(pipeline.Sleep(ctx, time.Second), err)
		})}
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
