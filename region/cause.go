package region

// Cause is why an attempt ended without a useful answer. It decides where the
// next one goes, and what it means for the host.
type Cause uint8

const (
	// Unreachable: no connection was had, for no other reason named here. The
	// other name of the region leads to the same place.
	Unreachable Cause = iota

	// NameNotResolved: the resolver had no address. The region may be well, and
	// have an address under its other name.
	NameNotResolved

	// Refused: the host refused the connection, or closed it before anything
	// was sent.
	Refused

	// ConnectTimeout: no connection was had in time, TLS included.
	ConnectTimeout

	// TLSFailed: the handshake failed, or the certificate is not the host's.
	TLSFailed

	// ConnectionLost: the connection broke after the call was sent.
	ConnectionLost

	// NoAnswer: the call was sent, and no answer came in time. One slow call
	// says little about a host: three in a row count.
	NoAnswer

	// Unavailable: the host answered that it cannot serve (502, 503 or 504).
	// Three in a row count, together with those of NoAnswer.
	Unavailable
)

var causeNames = [...]string{
	Unreachable:     "unreachable",
	NameNotResolved: "name not resolved",
	Refused:         "connection refused",
	ConnectTimeout:  "connect timeout",
	TLSFailed:       "TLS failed",
	ConnectionLost:  "connection lost",
	NoAnswer:        "no answer in time",
	Unavailable:     "unavailable (502, 503 or 504)",
}

// String returns c in words, one of a fixed set.
func (c Cause) String() string {
	if int(c) < len(causeNames) {
		return causeNames[c]
	}
	return "unknown"
}

// soft reports whether it takes several failures in a row to say something
// about the host.
func (c Cause) soft() bool { return c == NoAnswer || c == Unavailable }

// ofThePlace reports whether the other names of the region are in doubt as well.
func (c Cause) ofThePlace() bool { return c != NameNotResolved && !c.soft() }
