package simulator

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ParseFault reads a fault as it is written on a command line:
//
//	[OPERATION:]ITEM[,ITEM]...
//
// An item is an action (reset-before-body, reset-after-body, reset-after-call,
// stall, stall-body), status=CODE, delay=DURATION, times=N, host=HOST or
// retry-after=SECONDS. Examples: "status=401", "join:status=503,times=3",
// "leave:delay=2s", "join:reset-after-call,times=1".
func ParseFault(spec string) (Fault, error) {
	var f Fault
	items := spec
	// A colon may also be in an IPv6 host.
	if operation, rest, ok := strings.Cut(spec, ":"); ok && !strings.ContainsAny(operation, "=,") {
		f.Operation, items = operation, rest
	}
	for item := range strings.SplitSeq(items, ",") {
		if err := f.set(item); err != nil {
			return Fault{}, fmt.Errorf("fault %q: %w", spec, err)
		}
	}
	if err := f.validate(); err != nil {
		return Fault{}, fmt.Errorf("fault %q: %w", spec, err)
	}
	return f, nil
}

func (f *Fault) set(item string) (err error) {
	name, value, _ := strings.Cut(item, "=")
	switch name {
	case "status":
		f.Status, err = strconv.Atoi(value)
		if err != nil || f.Status == 0 {
			return errors.New("status must be 200 to 599")
		}
	case "delay":
		if f.Delay, err = time.ParseDuration(value); err != nil {
			return errors.New("delay must be a duration such as 2s")
		}
	case "times":
		if f.Times, err = strconv.Atoi(value); err != nil || f.Times < 1 {
			return errors.New("times must be 1 or more")
		}
	case "host":
		f.Host = value
	case "retry-after":
		if _, err = strconv.ParseUint(value, 10, 31); err != nil {
			return errors.New("retry-after must be a number of seconds")
		}
		f.Header = http.Header{"Retry-After": {value}}
	default:
		return f.setAction(item)
	}
	return nil
}

func (f *Fault) setAction(name string) error {
	for action, known := range actionNames {
		if name == known {
			if f.Action != Proceed {
				return fmt.Errorf("%s and %s exclude each other", actionNames[f.Action], name)
			}
			f.Action = action
			return nil
		}
	}
	return fmt.Errorf("unknown item %q: want status=, delay=, times=, host=, retry-after=, reset-before-body, reset-after-body, reset-after-call, stall or stall-body", name)
}
