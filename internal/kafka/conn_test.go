package kafka_test

import (
	"net"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/pipeline"
)

// TestBrokersThatNameAWrongAddress asks brokers of which some, or all, name an address at which nobody answers: each is named with its
// address and with who named it, as an error where none can be reached.
func TestBrokersThatNameAWrongAddress(t *testing.T) {
	nowhere := net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} // A port that no test is given.
	for _, wrong := range []int{0, 1, 3} {
		cluster, err := kfake.NewCluster(kfake.NumBrokers(3))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cluster.Close)
		addrs := cluster.ListenAddrs()
		cluster.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
			cluster.KeepControl()
			res, _ := req.ResponseKind().(*kmsg.MetadataResponse)
			for i, addr := range addrs {
				at, _ := net.ResolveTCPAddr("tcp", addr)
				broker := kmsg.MetadataResponseBroker{NodeID: int32(i), Host: "127.0.0.1", Port: int32(at.Port)}
				if i < wrong {
					broker.Port = int32(nowhere.Port)
				}
				res.Brokers = append(res.Brokers, broker)
			}
			return res, nil, true
		})
		partly, err := kafka.Check(t.Context(), kafka.Config{Brokers: addrs[:1]})
		found := partly
		if wrong == len(addrs) {
			found = err
		}
		if (err != nil) != (wrong == len(addrs)) || (found != nil) != (wrong > 0) || wrong > 0 && pipeline.ClassOf(found) != pipeline.Transient {
			t.Fatalf("%d are wrong: %v, %v", wrong, partly, err)
		}
		if wrong == 0 {
			continue
		}
		for _, want := range []string{"broker 0 of the cluster at " + nowhere.String(), addrs[0] + " names this address", "advertised.listeners of broker 0"} {
			if !strings.Contains(found.Error(), want) {
				t.Errorf("%d are wrong: it does not say %q: %v", wrong, want, found)
			}
		}
		if n := strings.Count(found.Error(), "correct advertised.listeners"); n != wrong {
			t.Errorf("%d are wrong, %d are named: %v", wrong, n, found)
		}
	}
}
