//go:build !unix

package integration

// raiseFileLimit is not needed where tests of connections count no files.
func raiseFileLimit() int { return 1 << 16 }
