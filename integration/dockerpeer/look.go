package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// fetch makes one request: METHOD URL [BODY]. It prints the status, the sidecar's
// own reason if there is one, and the body.
func fetch(ctx context.Context, args []string) error {
	if len(args) < 2 {
		return errors.New("fetch takes a method and a URL")
	}
	r, err := http.NewRequestWithContext(ctx, args[0], args[1], strings.NewReader(strings.Join(args[2:], "")))
	if err != nil {
		return err
	}
	if len(args) > 2 {
		r.Header.Set("Content-Type", "application/json")
	}
	client := http.Client{Timeout: 30 * time.Second, Transport: new(http.Transport)}
	res, err := client.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	fmt.Printf("%d %s\n%s\n", res.StatusCode, res.Header.Get("X-Convoai-Error"), body)
	return nil
}

// dial says of each host:port whether a connection can be had.
func dial(ctx context.Context, args []string) error {
	var dialling sync.WaitGroup
	for _, address := range args {
		dialling.Go(func() {
			dialer := net.Dialer{Timeout: 5 * time.Second}
			conn, err := dialer.DialContext(ctx, "tcp", address)
			if err != nil {
				fmt.Printf("%s: %v\n", address, err)
				return
			}
			_ = conn.Close()
			fmt.Printf("%s: connected\n", address)
		})
	}
	dialling.Wait()
	return nil
}

// search looks for the text in standard input, which is not printed, in all that
// the process of ID 1 has: its environment, its arguments, and the files that it
// can read. It prints where the text is, and how much was looked at.
func search(_ context.Context, _ []string) error {
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	if text = bytes.TrimSpace(text); len(text) == 0 {
		return errors.New("nothing to look for")
	}
	const process = "/proc/1"
	looked := 0
	look := func(path string) {
		content, err := os.ReadFile(path)
		if err != nil {
			return
		}
		looked++
		if bytes.Contains(content, text) {
			fmt.Println("found in", strings.TrimPrefix(path, process+"/root"))
		}
	}
	look(process + "/environ")
	look(process + "/cmdline")
	root := process + "/root"
	err = filepath.WalkDir(root+"/", func(path string, entry fs.DirEntry, err error) error {
		switch strings.TrimPrefix(path, root) {
		case "/proc", "/sys", "/dev":
			return fs.SkipDir
		}
		if err == nil && entry.Type().IsRegular() {
			look(path)
		}
		return nil
	})
	fmt.Println("looked at", looked, "files")
	return err
}
