package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/caddy-convoai/convoai/api"
)

// A subject is a binary to be measured.
type subject struct{ name, path string }

// A process is a subject that runs.
type process struct {
	cmd     *exec.Cmd
	began   time.Time
	address string
	output  bytes.Buffer
}

// bound is how long anything may take.
const bound = 30 * time.Second

func (v *vendor) start(s subject) (*process, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	p := &process{address: address}
	if s.name == "stock" {
		p.cmd = exec.Command(s.path, "run", "--adapter", "caddyfile", "--config", "-")
		p.cmd.Stdin = strings.NewReader(v.caddyfile(address))
	} else {
		p.cmd = exec.Command(s.path, "convoai", "run")
	}
	p.cmd.Env = []string{
		"HOME=" + v.dir, "XDG_RUNTIME_DIR=" + v.dir,
		"AGORA_APP_ID=" + v.project.AppID, "AGORA_APP_CERTIFICATE_FILE=" + v.file("certificate"),
		"CONVOAI_LISTEN=" + address, "CONVOAI_UPSTREAM=" + v.server.URL(), "CONVOAI_UPSTREAM_CA=" + v.file("ca.pem"),
	}
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	p.began = time.Now()
	return p, p.cmd.Start()
}

// freeAddress is one that nobody listens on at this moment.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

// stop ends the process and waits for it.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(bound, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	_ = p.cmd.Wait()
}

// listens waits until the process accepts connections.
func (p *process) listens() error {
	for time.Since(p.began) < bound {
		conn, err := net.Dial("tcp", p.address)
		if err == nil {
			return conn.Close()
		}
		time.Sleep(time.Millisecond)
	}
	return errors.New("it does not listen")
}

// firstCall is how long it takes from the start of a subject to the end of the
// answer of its first call, a join that is signed.
func (v *vendor) firstCall(s subject) (time.Duration, error) {
	p, err := v.start(s)
	if err != nil {
		return 0, err
	}
	took, err := p.join(v.project.AppID)
	p.stop()
	if err != nil {
		return 0, fmt.Errorf("%w\n%s", err, p.output.String())
	}
	return took, nil
}

func (p *process) join(appID string) (time.Duration, error) {
	if err := p.listens(); err != nil {
		return 0, err
	}
	const body = `{"name":"measure-%d","properties":{"channel":"room","token":"","agent_rtc_uid":"1","remote_rtc_uids":["2"]}}`
	url := "http://" + p.address + api.PrefixGlobal + "/v2/projects/" + appID + "/join"
	client := http.Client{Timeout: bound, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Post(url, "application/json", strings.NewReader(fmt.Sprintf(body, p.cmd.Process.Pid)))
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	took := time.Since(p.began)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("the first call is answered %d %s", res.StatusCode, answer)
	}
	return took, err
}

// residentMiB is the memory of the process that is in RAM, that of the binary's
// file included.
func (p *process) residentMiB() (float64, error) {
	file, err := os.Open("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/status")
	if err != nil {
		return 0, err
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			kib, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
			return float64(kib) / 1024, err
		}
	}
	return 0, errors.New("no VmRSS: this needs Linux")
}

func basic(id, secret string) string {
	return base64.StdEncoding.EncodeToString([]byte(id + ":" + secret))
}
