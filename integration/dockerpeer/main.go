// Command dockerpeer is what stands at both ends of a sidecar in the Docker
// tests: `dockerpeer upstream` is the simulated ConvoAI API, `dockerpeer client`
// an application, `dockerpeer load` many. Each prints a line of JSON for each call.
// The others look around in a container: `dockerpeer fetch`, `dial` and `search`.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	roles := map[string]func(context.Context, []string) error{
		"upstream": serve, "client": call, "load": load,
		"fetch": fetch, "dial": dial, "search": search,
	}
	if len(os.Args) < 2 || roles[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: dockerpeer upstream|client|load|fetch|dial|search [flags]")
		os.Exit(2)
	}
	if err := roles[os.Args[1]](ctx, os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "dockerpeer:", err)
		os.Exit(1)
	}
}

var printing sync.Mutex // guards standard output

// print writes v as one line.
func print(v any) {
	line, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	printing.Lock()
	defer printing.Unlock()
	_, _ = os.Stdout.Write(append(line, '\n'))
}
