package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// usageOf returns what a process and its children have used. The processor time
// is the scheduler's, in nanoseconds; where the kernel does not keep that, it is
// counted in hundredths of a second.
func usageOf(pid int) (usage, error) {
	proc := fmt.Sprintf("/proc/%d", pid)
	threads, err := filepath.Glob(proc + "/task/*")
	if err != nil {
		return usage{}, err
	}
	var sum usage
	for _, thread := range threads {
		children, err := os.ReadFile(thread + "/children")
		if err != nil {
			continue // a kernel without, or a thread that has ended
		}
		for _, child := range strings.Fields(string(children)) {
			id, _ := strconv.Atoi(child)
			of, err := usageOf(id)
			if err != nil {
				return usage{}, err
			}
			sum.processor += of.processor
			sum.resident += of.resident
		}
	}
	seconds, err := scheduled(threads)
	if err != nil {
		if seconds, err = ticked(proc); err != nil {
			return usage{}, err
		}
	}
	resident, err := residentOf(proc)
	sum.processor += seconds
	sum.resident += resident
	return sum, err
}

// scheduled is the processor time of threads. A thread that has ended since is not
// in it; the programs here end none while they are measured.
func scheduled(threads []string) (seconds float64, err error) {
	for _, thread := range threads {
		text, err := os.ReadFile(thread + "/schedstat")
		if err != nil {
			return 0, err
		}
		first, _, _ := strings.Cut(string(text), " ")
		nanoseconds, err := strconv.ParseFloat(first, 64)
		if err != nil {
			return 0, err
		}
		seconds += nanoseconds / 1e9
	}
	return seconds, nil
}

func ticked(proc string) (seconds float64, err error) {
	text, err := os.ReadFile(proc + "/stat")
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(after)
	if len(fields) < 13 {
		return 0, fmt.Errorf("%s/stat is not as expected", proc)
	}
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100, nil
}

func residentOf(proc string) (bytes int64, err error) {
	text, err := os.ReadFile(proc + "/status")
	if err != nil {
		return 0, err
	}
	_, after, found := strings.Cut(string(text), "VmRSS:")
	var kilobytes int64
	if !found {
		return 0, fmt.Errorf("%s/status has no VmRSS", proc)
	}
	if _, err := fmt.Sscan(after, &kilobytes); err != nil {
		return 0, fmt.Errorf("%s/status: %w", proc, err)
	}
	return kilobytes << 10, nil
}
