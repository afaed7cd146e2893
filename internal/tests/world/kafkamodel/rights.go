package kafkamodel

// Operation is what is done to something.
type Operation string

// Resource is the kind of thing that it is done to.
type Resource string

// The operations and resources that rights are held against.
const (
	Read            Operation = "Read"
	Write           Operation = "Write"
	Create          Operation = "Create"
	Delete          Operation = "Delete"
	Alter           Operation = "Alter"
	Describe        Operation = "Describe"
	DescribeConfigs Operation = "DescribeConfigs"

	Topic           Resource = "topic"
	TransactionalID Resource = "transactional id"
)

// access is what a user does.
type access struct {
	user      string
	operation Operation
	resource  Resource
	name      string
}

// Deny takes a right from a user, who has all of them otherwise. As with Kafka's access control lists without a rule that denies, whoever
// may read, write, alter or delete something may describe it.
func (c *Cluster) Deny(user string, o Operation, r Resource, name string) {
	c.lock()
	defer c.mu.Unlock()
	c.denied[access{user, o, r, name}] = true
}

// Allow gives it back.
func (c *Cluster) Allow(user string, o Operation, r Resource, name string) {
	c.lock()
	defer c.mu.Unlock()
	delete(c.denied, access{user, o, r, name})
}

func (c *Cluster) may(user string, o Operation, r Resource, name string) bool {
	if len(c.denied) == 0 {
		return true
	}
	if o != Describe {
		return !c.denied[access{user, o, r, name}]
	}
	for _, implying := range []Operation{Describe, Read, Write, Alter, Delete} {
		if !c.denied[access{user, implying, r, name}] {
			return implying == Describe || r == Topic || implying == Write // Of the others, an id has none.
		}
	}
	return false
}

func (c *Cluster) mayDescribe(user, topic string) bool { return c.may(user, Describe, Topic, topic) }
