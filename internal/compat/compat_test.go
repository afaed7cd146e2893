//go:build integration

package compat_test

import (
	"testing"

	"github.com/jmpub/jmpub/internal/compat"
	"github.com/jmpub/jmpub/internal/kafkatest"
)

// TestCompatibilityOnApacheKafka shows that what jmpub writes is read by everybody's clients.
func TestCompatibilityOnApacheKafka(t *testing.T) {
	cluster := kafkatest.Start(t, kafkatest.Options{})
	reader := compat.NewJavaReader(t)
	t.Run("the Java reader is a witness", func(t *testing.T) { javaReader(t, cluster.Addrs, reader) })
}
