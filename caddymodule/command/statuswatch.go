package command

import (
	"context"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// A screen is a terminal in which a text is shown again and again in one place.
type screen struct {
	out  io.Writer
	size func() (width, height int)
}

// What terminals have understood since the VT100, but for the second screen, which
// those that lack it ignore.
const (
	secondScreen = "\x1b[?1049h\x1b[?25l" // and no cursor
	firstScreen  = "\x1b[?25h\x1b[?1049l"
	topLeft      = "\x1b[H"
	clearLine    = "\x1b[K" // to its end
	clearBelow   = "\x1b[J"
)

// screenOf returns the terminal that w writes to, nil where it is none.
func screenOf(w io.Writer) *screen {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) || os.Getenv("TERM") == "dumb" {
		return nil
	}
	return &screen{out: w, size: func() (int, int) {
		width, height, err := term.GetSize(int(file.Fd()))
		if err != nil {
			return defaultWidth, 24
		}
		return width, height
	}}
}

// watch shows what show returns, anew every watchInterval, until ctx ends. The
// screen is then as it was before, with the last text below.
func (s *screen) watch(ctx context.Context, show statusShow) (err error) {
	if _, err := io.WriteString(s.out, secondScreen); err != nil {
		return err
	}
	last := ""
	defer func() {
		if _, failed := io.WriteString(s.out, firstScreen+last); err == nil {
			err = failed
		}
	}()
	for {
		var list strings.Builder
		text, failed := show(ctx, &list)
		if ctx.Err() != nil {
			return nil
		}
		if failed != nil {
			text = s.wrapped(clean(failed.Error()) + "\n" + list.String())
		} else {
			last = text
		}
		if _, err := io.WriteString(s.out, s.frame(text)); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchInterval):
		}
	}
}

// wrapped returns text with its lines broken where the screen ends.
func (s *screen) wrapped(text string) string {
	width, _ := s.size()
	var b strings.Builder
	for line := range strings.Lines(text) {
		for _, part := range wrap(line, max(width, 1)) {
			b.WriteString(part + "\n")
		}
	}
	return b.String()
}

// frame returns text as it takes the place of the one before. What does not fit is
// left out: the terminal would move the rest away.
func (s *screen) frame(text string) string {
	_, height := s.size()
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if height > 1 && len(lines) > height {
		lines = append(lines[:height-1:height-1], "...")
	}
	var b strings.Builder
	b.WriteString(topLeft)
	for i, line := range lines {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(line + clearLine)
	}
	b.WriteString(clearBelow)
	return b.String()
}
