// Command example-app is the application of deploy/compose.yaml: it starts,
// queries and stops an agent, again and again, and knows of no credential and of
// no Agora library. Any HTTP client would do.
//
//	AGORA_AGENTS_API_BASE_URL  where it calls (default http://convoai:8080)
//	AGORA_APP_ID               the project in its paths (default _, the sidecar's)
//	EXAMPLE_PAUSE              between rounds, a duration (default 10s)
//	EXAMPLE_ROUNDS             after how many rounds it ends (default 0: never)
//
// It prints a line of JSON for each call, and ends with 1 if the last round did
// not go well.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a, err := fromEnvironment()
	if err != nil {
		fmt.Fprintln(os.Stderr, "example-app:", err)
		os.Exit(2)
	}
	if !a.run(ctx) {
		os.Exit(1)
	}
}

func fromEnvironment() (a application, err error) {
	a = application{client: newClient(env("AGORA_AGENTS_API_BASE_URL", "http://convoai:8080"), env("AGORA_APP_ID", "_"))}
	if a.pause, err = time.ParseDuration(env("EXAMPLE_PAUSE", "10s")); err != nil {
		return a, fmt.Errorf("EXAMPLE_PAUSE: %w", err)
	}
	if a.rounds, err = strconv.Atoi(env("EXAMPLE_ROUNDS", "0")); err != nil {
		return a, fmt.Errorf("EXAMPLE_ROUNDS: %w", err)
	}
	return a, nil
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// An application has an agent join a channel, looks how it does, and has it leave.
type application struct {
	client *client
	pause  time.Duration
	rounds int // 0: without end
}

// run makes the rounds and reports whether the last one went well. A signal does
// not cut a round short: its agent would stay.
func (a *application) run(ctx context.Context) (well bool) {
	for n := 1; ; n++ {
		well = a.round(n)
		if n == a.rounds {
			return well
		}
		select {
		case <-ctx.Done():
			return well
		case <-time.After(a.pause):
		}
	}
}

func (a *application) round(n int) (well bool) {
	name := fmt.Sprintf("agent-%d-%d", os.Getpid(), time.Now().UnixNano())
	started := a.client.start(name)
	print(n, "start", started)
	if started.AgentID == "" {
		return false
	}
	queried := a.client.query(started.AgentID)
	print(n, "query", queried)
	stopped := a.client.stop(started.AgentID)
	print(n, "stop", stopped)
	return queried.ok() && stopped.ok()
}

// print writes a line for a call.
func print(round int, step string, o outcome) {
	line, err := json.Marshal(struct {
		Time  time.Time `json:"time"`
		Round int       `json:"round"`
		Step  string    `json:"step"`
		outcome
	}{time.Now(), round, step, o})
	if err != nil {
		panic(err) // of plain fields
	}
	fmt.Println(string(line))
}
