package cache

import "sync/atomic"

// index finds the entry of a key. find takes no lock; add and remove are called
// with the cache's mutex held. A find that runs beside a remove may still return
// the entry that is being removed.
type index[K, V comparable] struct {
	buckets []atomic.Pointer[entry[K, V]] // heads of chains; a power of two, at least twice as many as there can be entries
}

func newIndex[K, V comparable](size int) index[K, V] {
	n := 1
	for n < 2*size {
		n <<= 1
	}
	return index[K, V]{buckets: make([]atomic.Pointer[entry[K, V]], n)}
}

func (x index[K, V]) bucket(hash uint64) *atomic.Pointer[entry[K, V]] {
	return &x.buckets[hash&uint64(len(x.buckets)-1)]
}

func (x index[K, V]) find(hash uint64, key K) *entry[K, V] {
	for e := x.bucket(hash).Load(); e != nil; e = e.next.Load() {
		if e.hash == hash && e.key == key {
			return e
		}
	}
	return nil
}

func (x index[K, V]) add(e *entry[K, V]) {
	bucket := x.bucket(e.hash)
	e.next.Store(bucket.Load())
	bucket.Store(e)
}

// remove takes e out of its chain. e keeps its own next, for those who are just
// passing it.
func (x index[K, V]) remove(e *entry[K, V]) {
	link := x.bucket(e.hash)
	for at := link.Load(); at != nil; at = link.Load() {
		if at == e {
			link.Store(e.next.Load())
			return
		}
		link = &at.next
	}
}

// each calls do for every entry until it returns false.
func (x index[K, V]) each(do func(*entry[K, V]) bool) {
	for i := range x.buckets {
		for e := x.buckets[i].Load(); e != nil; e = e.next.Load() {
			if !do(e) {
				return
			}
		}
	}
}
