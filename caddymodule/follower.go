package caddymodule

import (
	"sync"
	"time"
)

// follower looks at the files of secrets once a second, so that a change takes
// effect also where nothing is called: the tokens of an old certificate are
// dropped, and a file that cannot be used is reported.
type follower struct {
	done    chan struct{}
	running sync.WaitGroup
}

// follow begins to follow the files of projects.
func follow(projects []*project) *follower {
	f := &follower{done: make(chan struct{})}
	var with []*project
	for _, p := range projects {
		if p.followsFiles() {
			with = append(with, p)
		}
	}
	if len(with) > 0 {
		f.running.Go(func() { f.run(with) })
	}
	return f
}

func (f *follower) run(projects []*project) {
	ticker := time.NewTicker(fileCheckInterval)
	defer ticker.Stop()
	for {
		select {
		case <-f.done:
			return
		case <-ticker.C:
			for _, p := range projects {
				p.follow()
			}
		}
	}
}

// stop ends f and waits for it. A follower that is nil has not begun.
func (f *follower) stop() {
	if f == nil {
		return
	}
	close(f.done)
	f.running.Wait()
}
