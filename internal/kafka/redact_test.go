package kafka_test

import (
	"strings"
	"testing"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/internal/lab/broker"
	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/internal/tests/hostile"
	"github.com/jmpub/jmpub/pipeline"
)

// TestPlantedSecrets has a broker show the password in the messages of its errors.
func TestPlantedSecrets(t *testing.T) {
	const user, password = "kafka-user", `Zq7&kW/2n+X"<é'8\Lm`
	forms := hostile.Forms(user, password)
	for form, text := range forms {
		embedded, err := broker.Start(broker.Options{Control: func(c *kfake.Cluster) {
			c.ControlKey(int16(kmsg.CreateTopics), func(r kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				answer, topic := kmsg.NewPtrCreateTopicsResponse(), kmsg.NewCreateTopicsResponseTopic()
				answer.Version = r.GetVersion()
				topic.Topic, topic.ErrorCode, topic.ErrorMessage = "a", 44, new(hostile.Controls+text+strings.Repeat("x", 5000))
				answer.Topics = append(answer.Topics, topic)
				return answer, nil, true
			})
		}})
		if err != nil {
			t.Fatal(err)
		}
		conn, err := kafka.Open(kafka.Config{Brokers: embedded.Addrs(), Username: user, Password: secret.New(password)})
		if err != nil {
			t.Fatal(err)
		}
		said := ""
		res, err := conn.CreateTopics(t.Context(), &kafkago.CreateTopicsRequest{Topics: []kafkago.TopicConfig{{Topic: "a", NumPartitions: 1}}})
		if err != nil {
			t.Fatal(err)
		}
		if err = kafka.Fault("create", res.Errors["a"]); pipeline.ClassOf(err) == pipeline.Permanent {
			said = err.Error()
		}
		if shown, obeyed := hostile.Shown(said, forms), hostile.Obeyed(said); shown != "" || obeyed != "" || len(said) > 2000 ||
			!strings.Contains(said, secret.Mask) {
			t.Errorf("%s: %s, %s is in %.2000q", form, shown, obeyed, said)
		}
		conn.Close()
		if err = embedded.Close(); err != nil {
			t.Error(err)
		}
	}
}
