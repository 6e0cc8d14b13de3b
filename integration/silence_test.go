package integration

import "time"

// silence is how long the other end of a connection may confirm nothing, and
// dialling how long a host may take to be connected to.
const (
	silence  = 5 * time.Second
	dialling = 2 * time.Second
)
