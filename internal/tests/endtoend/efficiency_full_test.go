//go:build integration

package endtoend_test

import (
	"testing"
	"testing/synctest"
)

// TestEfficiencyOfAMillionRows is TestEfficiency in full size, which takes half a minute of computing.
func TestEfficiencyOfAMillionRows(t *testing.T) {
	for name, c := range map[string]*catchUp{"four at a time": fourAtATime(1e6, 1000), "by the rate": byTheRate(1e6, 1000)} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, c.run) })
	}
}
