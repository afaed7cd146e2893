package kafkatest

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Right is what one access control entry allows the user of [Secure]: an operation on a topic, a transactional id or a consumer group,
// whichever is not empty.
type Right struct {
	Operation                   kadm.ACLOperation
	Topic, Transactional, Group string
}

// entry is the right for kadm, whose builder serves to make, find and delete it.
func (r Right) entry(user string) *kadm.ACLBuilder {
	b := kadm.NewACLs().Operations(r.Operation).ResourcePatternType(kadm.ACLPatternLiteral).Allow(user).AllowHosts("*")
	switch {
	case r.Topic != "":
		return b.Topics(r.Topic)
	case r.Group != "":
		return b.Groups(r.Group)
	default:
		return b.TransactionalIDs(r.Transactional)
	}
}

// Give makes these the only rights of the user, and returns when the broker goes by them. Rights that stay are not touched.
func (s *Secure) Give(tb testing.TB, rights []Right) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), startTimeout)
	defer cancel()
	admin := s.Admin(tb)
	user := "User:" + s.Username
	for _, r := range s.given {
		if slices.Contains(rights, r) {
			continue
		}
		deleted, err := admin.DeleteACLs(ctx, r.entry(user))
		for i := range deleted {
			if err == nil {
				err = deleted[i].Err
			}
		}
		if err != nil {
			tb.Fatalf("take %+v from %s: %v", r, user, err)
		}
	}
	for _, r := range rights {
		if slices.Contains(s.given, r) {
			continue
		}
		made, err := admin.CreateACLs(ctx, r.entry(user))
		for i := range made {
			if err == nil {
				err = made[i].Err
			}
		}
		if err != nil {
			tb.Fatalf("give %+v to %s: %v", r, user, err)
		}
	}
	s.given = slices.Clone(rights)
	s.awaitRights(ctx, tb, admin, user)
}

// awaitRights waits until the broker knows what was given: it learns of a change a moment after the controller.
func (s *Secure) awaitRights(ctx context.Context, tb testing.TB, admin *kadm.Client, user string) {
	tb.Helper()
	all := kadm.NewACLs().AnyResource().Operations().ResourcePatternType(kadm.ACLPatternAny).Allow(user).AllowHosts("*")
	await(ctx, tb, func() string {
		described, err := admin.DescribeACLs(ctx, all)
		var have []Right
		for i := range described {
			if err == nil {
				err = described[i].Err
			}
			for _, d := range described[i].Described {
				switch d.Type {
				case kmsg.ACLResourceTypeTransactionalId:
					have = append(have, Right{Operation: d.Operation, Transactional: d.Name})
				case kmsg.ACLResourceTypeGroup:
					have = append(have, Right{Operation: d.Operation, Group: d.Name})
				default:
					have = append(have, Right{Operation: d.Operation, Topic: d.Name})
				}
			}
		}
		missing := slices.ContainsFunc(s.given, func(r Right) bool { return !slices.Contains(have, r) })
		if err != nil || missing || len(have) != len(s.given) {
			return fmt.Sprintf("wait for the rights %v of %s: it has %v: %v", s.given, user, have, err)
		}
		return ""
	})
}
