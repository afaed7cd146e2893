package main

import (
	"bytes"
	"os"
	"testing"
)

// TestDashboardIsGenerated expects the file to be what the program writes.
func TestDashboardIsGenerated(t *testing.T) {
	want, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("dashboard.json")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("dashboard.json is another one (%v): go run . > dashboard.json", err)
	}
}
