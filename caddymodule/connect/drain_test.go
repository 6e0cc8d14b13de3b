package connect

import "testing"

func TestWhatIsUnderWayIsWaitedFor(t *testing.T) {
	closed := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	if !closed(newUnderWay().stop()) {
		t.Error("nothing is waited for")
	}
	u := newUnderWay()
	for range 2 {
		if !u.begin() {
			t.Fatal("nothing may begin")
		}
	}
	u.end()
	none := u.stop()
	if closed(none) {
		t.Error("not waited for")
	}
	if u.begin() {
		t.Error("something may begin afterwards")
	}
	u.end()
	if !closed(none) {
		t.Error("waited for for ever")
	}
}
