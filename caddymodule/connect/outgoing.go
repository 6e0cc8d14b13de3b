package connect

import "sync"

// outgoing are the local addresses of the connections that are made here, by which
// one is recognised that comes back. There is no header to mark them with: what they
// carry is the client's own.
var outgoing localAddresses

// localAddresses is a set of addresses of connections that are in use, each as often
// as it is used. It is safe for concurrent use.
type localAddresses struct {
	mu    sync.Mutex // guards count
	count map[string]int
}

// add puts an address in, until it is taken out by the function that is returned.
func (l *localAddresses) add(address string) (remove func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count == nil {
		l.count = make(map[string]int)
	}
	l.count[address]++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.count[address]--; l.count[address] == 0 {
			delete(l.count, address)
		}
	}
}

func (l *localAddresses) has(address string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count[address] > 0
}
