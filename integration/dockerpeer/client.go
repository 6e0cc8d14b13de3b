package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// outcome is a call as a client has seen it.
type outcome struct {
	Began     time.Time     `json:"began"`
	Took      time.Duration `json:"took"`
	Sidecar   string        `json:"sidecar"`
	Operation string        `json:"operation"` // join or list
	Name      string        `json:"name"`      // in the body of a join
	Status    int           `json:"status"`    // 0: none
	Upstream  string        `json:"upstream"`
	Reason    string        `json:"reason"` // of an error of the sidecar's own
}

// call makes calls through the sidecars named in args until ctx ends: on each of
// a few lines one after another, joins and lists apart.
func call(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("client", flag.ContinueOnError)
	lines := flags.Int("lines", 2, "how many calls of a kind are under way at a time")
	pause := flags.Duration("pause", 50*time.Millisecond, "between calls on a line")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return errors.New("no sidecar")
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 100 * time.Second}
	var running sync.WaitGroup
	for _, sidecar := range flags.Args() {
		for line := range *lines {
			for _, operation := range []string{"join", "list"} {
				running.Go(func() {
					for n := 0; ctx.Err() == nil; n++ {
						o := outcome{Sidecar: sidecar, Operation: operation, Name: fmt.Sprintf("%s-%d-%d", sidecar, line, n)}
						o.make(client)
						print(o)
						select {
						case <-ctx.Done():
						case <-time.After(*pause):
						}
					}
				})
			}
		}
	}
	running.Wait()
	return nil
}

// make makes the call, which a signal does not cut short.
func (o *outcome) make(client *http.Client) {
	base := "http://" + o.Sidecar + ":8080/v2/projects/" + os.Getenv("AGORA_APP_ID")
	r, err := http.NewRequest("GET", base+"/agents", nil)
	if o.Operation == "join" {
		body, _ := json.Marshal(map[string]any{
			"name": o.Name,
			"properties": map[string]any{
				"channel": o.Name, "agent_rtc_uid": "1", "remote_rtc_uids": []string{"*"},
			},
		})
		r, err = http.NewRequest("POST", base+"/join", strings.NewReader(string(body)))
		if err == nil {
			r.Header.Set("Content-Type", "application/json")
		}
	} else {
		o.Name = ""
	}
	if err != nil {
		panic(err)
	}
	o.Began = time.Now()
	defer func() { o.Took = time.Since(o.Began) }()
	res, err := client.Do(r)
	if err != nil {
		return
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return
	}
	o.Status, o.Upstream, o.Reason = res.StatusCode, res.Header.Get("X-Upstream"), res.Header.Get("X-Convoai-Error")
}
