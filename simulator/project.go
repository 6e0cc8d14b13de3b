package simulator

import (
	"crypto/rand"
	"encoding/hex"
)

// RandomProject makes up a project with credentials of every kind. They are
// good for a Simulator that is given them, and for nothing else: no secrets.
func RandomProject() Project {
	return Project{
		AppID:          randomID(),
		AppCertificate: randomID(),
		CustomerID:     randomID(),
		CustomerSecret: randomID(),
	}
}

func randomID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
