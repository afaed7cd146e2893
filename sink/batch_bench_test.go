package sink

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

// BenchmarkEncode encodes batches of 1000 events of about 600 bytes, which is what the broker's max.message.bytes lets stand in one. An operation is a batch.
func BenchmarkEncode(b *testing.B) {
	const n, appKey = 1000, "4f7aef34fb361292c566a1cd"
	var events []event.Event
	from := event.NewNormalizer(appKey)
	for i := range n {
		row := fmt.Appendf(nil, `{"set_from_name":0,"from_platform":"a","target_name":"","msg_type":"text","version":1,"target_id":"user_%04d",`+
			`"from_appkey":"%s","from_name":"user_%04d","from_id":"user_%04d","msg_body":{"text":"请问这个订单什么时候发货?订单号 %d","extras":{}},`+
			`"create_time":%d,"from_type":"user","target_appkey":"%s","target_type":"single","msgid":%d,"msg_ctime":%d,"msg_level":0}`,
			i%977, appKey, i%733, i%733, i*7919, 1553222785+i/50, appKey, int64(i)*7919*65537, 1553222785613+i*20)
		e, rejection := from.Normalize(row)
		if rejection != nil {
			b.Fatal(rejection.Detail)
		}
		events = append(events, e)
	}
	cfg := &WriterConfig{}
	shared, now := cfg.headersOf(&pipeline.Batch{AppKey: appKey, Stream: pipeline.Stream{Kind: pipeline.StreamMessages}}), time.Now()
	p := &producer{id: 1, epoch: 1}
	c := chunk{n, func(i int, r *record) {
		r.value, r.time = events[i].Value, now
		r.key = strconv.AppendInt(r.digits[:0], events[i].MsgID, 10)
		r.shared, r.headers = shared, appendHeadersOf(r.headers, &events[i], r.key)
	}}
	for _, compression := range []kafkago.Compression{0, kafkago.Snappy, kafkago.Lz4, kafkago.Zstd, kafkago.Gzip} {
		b.Run(compression.String(), func(b *testing.B) {
			b.ReportAllocs()
			var batch []byte
			for b.Loop() {
				var err error
				if batch, err = encode(batch, c, compression, p, 0); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(batch)), "bytes/batch")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/record")
		})
	}
}
