package sink

import "testing"

// TestRoomsKeepNothing expects the room of a batch to be empty for the next one, and none of its lists to be there twice.
func TestRoomsKeepNothing(t *testing.T) {
	r := new(room)
	values := r.valuesFor(3)
	values[1] = []byte("a")
	first, second := append(r.list(), 1, 2), append(r.list(), 3)
	r.used = append(r.used, first, second)
	r.giveBack()
	if again := r.valuesFor(2); again[0] != nil || again[1] != nil {
		t.Errorf("the values of the batch before are there: %q", again)
	}
	a, b, c := append(r.list(), 4, 5), append(r.list(), 6), r.list()
	if a[0] != 4 || b[0] != 6 || c != nil {
		t.Errorf("the lists are %v, %v, %v", a, b, c)
	}
}
