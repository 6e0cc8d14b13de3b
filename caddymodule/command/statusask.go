package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-convoai/convoai/caddymodule"
)

const (
	// askTimeout bounds one question. A sidecar answers within a second.
	askTimeout = 5 * time.Second

	// maxAnswer bounds what is read of an answer: the status of a sidecar with
	// thousands of apps is some megabytes.
	maxAnswer = 32 << 20
)

// An asker asks a sidecar over HTTP, at its admin API or where it answers for its
// health.
type asker struct {
	base   string // URL without a path
	client *http.Client
}

// newAsker returns what asks at an address: unix//path, or host:port.
func newAsker(address string) (*asker, error) {
	unusable := fmt.Errorf("--address: %q is no address: write unix//path or host:port", address)
	a, err := caddy.ParseNetworkAddress(strings.TrimPrefix(address, "http://"))
	if err != nil {
		return nil, unusable
	}
	network, target, host := a.Network, "", "localhost"
	switch {
	case network == "unix" && a.Host != "":
		target = socketPath(a.Host)
	case network == "tcp" && a.PortRangeSize() == 1 && a.StartPort != 0:
		if a.Host == "" {
			a.Host = "localhost"
		}
		target = net.JoinHostPort(a.Host, strconv.FormatUint(uint64(a.StartPort), 10))
		host = target
	default:
		return nil, unusable
	}
	return &asker{base: "http://" + host, client: &http.Client{
		Timeout: askTimeout,
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, target)
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// get returns the status and the body of an answer.
func (a *asker) get(ctx context.Context, path string) (status int, body []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+path, nil)
	if err != nil {
		return 0, nil, err
	}
	res, err := a.client.Do(r)
	if err != nil {
		return 0, nil, unanswered(err)
	}
	defer res.Body.Close()
	body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return 0, nil, unanswered(err)
	}
	return res.StatusCode, body, nil
}

// unanswered is err without the URL, which means nothing to a reader who has given
// a socket.
func unanswered(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return fmt.Errorf("the sidecar does not answer: %w", op)
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return fmt.Errorf("the sidecar does not answer within %s", askTimeout)
	}
	return fmt.Errorf("the sidecar does not answer: %w", err)
}

var errNoAdminAPI = errors.New("what answers at that address is no admin API of Caddy with this module")

// status asks for the status, and returns its JSON as well.
func (a *asker) status(ctx context.Context) (caddymodule.Status, []byte, error) {
	var s caddymodule.Status
	code, body, err := a.get(ctx, "/convoai/status")
	if err != nil {
		return s, nil, err
	}
	if code != http.StatusOK {
		var failed struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(body, &failed) == nil && failed.Error != "" {
			return s, nil, fmt.Errorf("the admin API answers %d: %s", code, clean(failed.Error))
		}
		return s, nil, errNoAdminAPI
	}
	if err := json.Unmarshal(body, &s); err != nil || s.Readiness.Status == "" {
		return s, nil, errNoAdminAPI
	}
	return s, body, nil
}

// readiness asks whether the sidecar is ready, at its admin API or where it
// answers for its health.
func (a *asker) readiness(ctx context.Context) (r caddymodule.Readiness, err error) {
	for _, path := range []string{"/convoai/readyz", "/readyz"} {
		var body []byte
		if _, body, err = a.get(ctx, path); err != nil {
			return r, err
		}
		if json.Unmarshal(body, &r) == nil && (r.Status == caddymodule.StatusReady || r.Status == caddymodule.StatusUnready) {
			return r, nil
		}
	}
	return r, errNoHealth
}

var errNoHealth = errors.New("what answers at that address is neither an admin API of Caddy with this module nor convoai_health")

// lives asks whether the sidecar lives.
func (a *asker) lives(ctx context.Context) error {
	for _, path := range []string{"/convoai/livez", "/livez"} {
		var live struct {
			Status string `json:"status"`
		}
		code, body, err := a.get(ctx, path)
		if err != nil {
			return err
		}
		if json.Unmarshal(body, &live) == nil && code == http.StatusOK && live.Status == "live" {
			return nil
		}
	}
	return errNoHealth
}
