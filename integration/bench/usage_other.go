//go:build !linux

package main

import "errors"

func usageOf(int) (usage, error) {
	return usage{}, errors.New("processor time and memory of other processes are read on Linux only")
}
