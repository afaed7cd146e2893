package checkpoint_test

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// shrinkFetches makes every fetch ask for so little of a partition that the broker answers with one batch.
func (s *kafkaStore) shrinkFetches() {
	s.cluster.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		s.cluster.KeepControl()
		if fetch, ok := r.(*kmsg.FetchRequest); ok {
			for i := range fetch.Topics {
				for j := range fetch.Topics[i].Partitions {
					fetch.Topics[i].Partitions[j].PartitionMaxBytes = 1
				}
			}
		}
		return nil, nil, false
	})
}
