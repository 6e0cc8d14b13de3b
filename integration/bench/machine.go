package main

import (
	"context"
	"os/exec"
	"runtime"
	"strings"
)

// machine says what was measured, and on what.
type machine struct {
	Processor string `json:"processor"`
	Cores     int    `json:"cores"`
	System    string `json:"system"`
	Load      string `json:"load,omitempty"` // load averages at the beginning
	Go        string `json:"go"`
	Caddy     string `json:"caddy"`
	Nginx     string `json:"nginx,omitempty"`
	Commit    string `json:"commit"`
}

func describeMachine(ctx context.Context, caddy string) machine {
	m := machine{
		Processor: processorModel(),
		Cores:     runtime.NumCPU(),
		System:    runtime.GOOS + "/" + runtime.GOARCH + kernel(),
		Load:      loadAverages(),
		Go:        runtime.Version(),
		Commit:    said(ctx, "git", "describe", "--always", "--dirty", "--exclude", "*"),
	}
	m.Caddy, _, _ = strings.Cut(said(ctx, caddy, "version"), " ")
	if program, err := nginxProgram(); err == nil {
		_, m.Nginx, _ = strings.Cut(said(ctx, program, "-v"), "/")
	}
	return m
}

// said is what a program prints, or nothing if it fails.
func said(ctx context.Context, program string, arguments ...string) string {
	out, err := exec.CommandContext(ctx, program, arguments...).CombinedOutput()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
