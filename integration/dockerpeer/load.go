package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// load makes calls at a rate for a time, without waiting for answers, as many
// applications together would: agents are started, queried and stopped. What gets
// no connection, or loses it and may be repeated, is made again, for a while.
func load(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	rate := flags.Int("rate", 100, "calls per second")
	length := flags.Duration("for", 10*time.Second, "how long")
	patience := flags.Duration("patience", 30*time.Second, "how long a call is made again")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("load takes the URL of a project")
	}
	l := loader{
		project:  flags.Arg(0),
		patience: *patience,
		client: &http.Client{Timeout: 90 * time.Second, Transport: &http.Transport{
			MaxIdleConnsPerHost: 64,
			// What is sent to an address that nobody has at the time is lost.
			DialContext: (&net.Dialer{Timeout: 300 * time.Millisecond}).DialContext,
		}},
	}
	// Three calls a round.
	tick := time.NewTicker(time.Duration(float64(time.Second) * 3 / float64(*rate)))
	defer tick.Stop()
	end := time.After(*length)
	var running sync.WaitGroup
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
		case <-end:
		case <-tick.C:
			running.Go(l.round)
			continue
		}
		running.Wait()
		return nil
	}
}

type loader struct {
	project  string
	patience time.Duration
	client   *http.Client
}

// loaded is a call with all its tries.
type loaded struct {
	Began     time.Time     `json:"began"`
	Operation string        `json:"operation"` // start, query or stop
	Tries     int           `json:"tries"`
	Status    int           `json:"status"` // of the last try; 0: none
	Reason    string        `json:"reason"`
	Without   time.Duration `json:"without"` // from the first error of a connection to the end of the call
}

func (l *loader) round() {
	body := `{"name":"load-` + time.Now().Format("150405.000000000") + `","properties":{"channel":"load","agent_rtc_uid":"1","remote_rtc_uids":["2"]}}`
	agent := l.call("start", http.MethodPost, "/join", body)
	if agent == "" {
		return
	}
	l.call("query", http.MethodGet, "/agents/"+agent, "")
	l.call("stop", http.MethodPost, "/agents/"+agent+"/leave", "")
}

// call makes a call and prints what has come of it.
func (l *loader) call(operation, method, path, body string) (agent string) {
	o := loaded{Began: time.Now(), Operation: operation}
	defer func() { print(o) }()
	var failed time.Time
	for {
		o.Tries++
		err := l.once(method, path, body, &o, &agent)
		if !failed.IsZero() {
			o.Without = time.Since(failed)
		}
		if err == nil {
			return agent
		}
		o.Reason = err.Error()
		if failed.IsZero() {
			failed = time.Now()
		}
		if operation == "start" && !neverSent(err) || time.Since(failed) > l.patience {
			return ""
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func neverSent(err error) bool {
	var failed *net.OpError
	return errors.As(err, &failed) && failed.Op == "dial"
}

func (l *loader) once(method, path, body string, o *loaded, agent *string) error {
	r, err := http.NewRequest(method, l.project+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	res, err := l.client.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	var fields struct {
		AgentID string `json:"agent_id"`
		Reason  string `json:"reason"`
	}
	_ = json.Unmarshal(answer, &fields) // what is no JSON has no fields
	o.Status, o.Reason, *agent = res.StatusCode, fields.Reason, fields.AgentID
	return nil
}
