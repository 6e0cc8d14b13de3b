package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// print writes the report as one text.
func (r report) print(w io.Writer) error {
	for _, b := range r.blocks() {
		if _, err := fmt.Fprintf(w, "## %s\n\n%s\n", b.name, b.text); err != nil {
			return err
		}
	}
	return nil
}

// update puts the report into a page, and its charts into a folder.
func (r report) update(page, charts string) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	updated := string(text)
	for _, b := range r.blocks() {
		if updated, err = replaceBlock(updated, b); err != nil {
			return fmt.Errorf("%s: %w", page, err)
		}
	}
	if err := os.MkdirAll(charts, 0o755); err != nil {
		return err
	}
	for _, f := range r.figures() {
		var drawn bytes.Buffer
		if err := f.chart.WriteSVG(&drawn); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(charts, f.name+".svg"), drawn.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(page, []byte(updated), 0o644)
}

// replaceBlock puts a block's text between its comments, which the page must have.
func replaceBlock(page string, b block) (string, error) {
	begin, end := "<!-- begin:"+b.name+" -->\n", "<!-- end:"+b.name+" -->"
	before, rest, found := strings.Cut(page, begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		return "", errors.New("there is no place for " + strings.TrimSuffix(begin, "\n"))
	}
	return before + begin + b.text + end + after, nil
}
