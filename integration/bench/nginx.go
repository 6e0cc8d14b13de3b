package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// nginxConfig is nginx as it is set up for speed: a worker for each core, no access
// log, connections that are kept on both sides for as long as they are wanted, and
// bodies that stay in memory.
const nginxConfig = `daemon off;
worker_processes auto;
pid nginx.pid;
error_log stderr error;
events {
	worker_connections 2048;
}
http {
	access_log off;
	keepalive_requests 1000000000;
	client_body_buffer_size 128k;
	client_body_temp_path client;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
	upstream api {
		server %s;
		keepalive 256;
		keepalive_requests 1000000000;
	}
	server {
		listen %s;
		location / {
			proxy_pass http://api;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header Authorization "%s";
		}
	}
}
`

// nginxCommand is nginx on an address in front of another.
func nginxCommand(dir, address, upstream string) (*exec.Cmd, error) {
	program, err := nginxProgram()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, upstream, address, authorization), 0o600); err != nil {
		return nil, err
	}
	return exec.Command(program, "-p", dir, "-c", config, "-e", "stderr"), nil
}

// nginxProgram is also found where Debian has it, which is in the path of root only.
func nginxProgram() (string, error) {
	if program, err := exec.LookPath("nginx"); err == nil {
		return program, nil
	}
	return exec.LookPath("/usr/sbin/nginx")
}
