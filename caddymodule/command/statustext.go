package command

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// columnWidths returns how wide columns are, two spaces apart, in width.
func columnWidths(rows [][]string, width int) []int {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for n, cell := range row {
			widths[n] = max(widths[n], len([]rune(cell)))
		}
	}
	for {
		total := 2 * (len(widths) - 1)
		for _, w := range widths {
			total += w
		}
		if total <= width {
			return widths
		}
		widest := slices.Index(widths, slices.Max(widths))
		if widths[widest] <= 4 {
			return widths
		}
		widths[widest] = max(4, widths[widest]-(total-width))
	}
}

// cut shortens text to a width, and shows that it has.
func cut(text string, width int) string {
	runes := []rune(text)
	if len(runes) <= width {
		return text
	}
	return string(runes[:max(0, width-2)]) + ".."
}

// wrap breaks text into lines of a width, between words where it can.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		for {
			room := width - len([]rune(line))
			if line != "" {
				room--
			}
			if len([]rune(word)) <= room {
				break
			}
			if line != "" {
				lines, line = append(lines, line), ""
				continue
			}
			runes := []rune(word)
			lines, word = append(lines, string(runes[:width])), string(runes[width:])
		}
		if line != "" && word != "" {
			line += " "
		}
		line += word
	}
	if line != "" || len(lines) == 0 {
		lines = append(lines, line)
	}
	return lines
}

func seconds(n float64) time.Duration {
	return time.Duration(min(max(n, 0), math.MaxInt32) * float64(time.Second)).Truncate(time.Second)
}

// brief is a duration in its largest unit.
func brief(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
