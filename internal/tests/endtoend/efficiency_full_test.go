//go:build integration

package endtoend_test

import (
	"testing"
	"testing/synctest"
)

// TestEfficiencyOfAMillionRows is TestEfficiency in full size, which takes ten seconds of computing.
func TestEfficiencyOfAMillionRows(t *testing.T) {
	for name, c := range map[string]*catchUp{"four at a time": fourAtATime(1e6, 0.9), "by the rate": byTheRate(1e6, 0.9)} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, c.run) })
	}
}
