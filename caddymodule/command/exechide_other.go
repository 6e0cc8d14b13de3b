//go:build !linux

package command

// hideEnvironment does nothing: there is no means that needs no privilege.
func hideEnvironment() {}
