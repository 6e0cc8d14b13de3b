package main

// usage is what a process and its children have used.
type usage struct {
	processor float64 // seconds, user and system
	resident  int64   // bytes
}
