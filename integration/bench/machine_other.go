//go:build !linux

package main

func processorModel() string { return "unknown processor" }
func kernel() string         { return "" }
func loadAverages() string   { return "" }
