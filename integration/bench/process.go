package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"time"
)

// A process is a program that runs until it is stopped.
type process struct {
	cmd    *exec.Cmd
	output tail
	input  io.Closer
	ended  chan struct{} // closed when it has ended
}

// patience is how long a program may take to start or to end, and a connection to
// answer.
const patience = 20 * time.Second

// startProcess starts a program, which does not outlive this one. Its standard
// input stays open for as long.
func startProcess(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, ended: make(chan struct{})}
	cmd.Stderr = &p.output
	if cmd.Stdout == nil {
		cmd.Stdout = &p.output
	}
	cmd.SysProcAttr = attributes()
	cmd.WaitDelay = time.Second
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.input = input
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// stop ends the program and waits for it.
func (p *process) stop() {
	_ = p.input.Close()
	if p.cmd.Process.Signal(os.Interrupt) != nil {
		_ = p.cmd.Process.Kill()
	}
	select {
	case <-p.ended:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// answers waits until the program at an address has answered a request.
func (p *process) answers(ctx context.Context, address string, request []byte) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := ask(address, request)
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("it has ended: %s", p.output.String())
		case <-ctx.Done():
			return fmt.Errorf("%w: it does not answer: %w\n%s", context.Cause(ctx), err, p.output.String())
		case <-time.After(time.Millisecond):
		}
	}
}

// ask makes one request on a connection of its own.
func ask(address string, request []byte) error {
	c, err := dial(address, time.Now().Add(patience))
	if err != nil {
		return err
	}
	defer c.Close()
	return c.exchange(request)
}

// freeAddress is one that nobody listens on at this moment.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// A tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex // guards last
	last []byte
}

func (t *tail) Write(p []byte) (int, error) {
	const most = 4 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, p...)
	if over := len(t.last) - most; over > 0 {
		t.last = append(t.last[:0], t.last[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.last))
}

// buildCaddy builds the sidecar's binary, which is the stock Caddy as well.
func buildCaddy(ctx context.Context, file string) error {
	out, err := exec.CommandContext(ctx, "go", "build", "-o", file, "github.com/caddy-convoai/convoai/cmd/caddy").CombinedOutput()
	if err != nil {
		return errors.Join(fmt.Errorf("building caddy: %w", err), errors.New(string(out)))
	}
	return nil
}
