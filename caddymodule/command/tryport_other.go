//go:build !unix

package command

import "net"

// tryPort returns the error with which an address cannot be listened on.
func tryPort(network, address string) error {
	ln, err := net.Listen(network, address)
	if err != nil {
		return err
	}
	return ln.Close()
}
