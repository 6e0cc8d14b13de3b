package command

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
)

// clean returns text that came from elsewhere as a terminal can show it in one
// line: what it would obey, or show in more or less than one column, is a question
// mark.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r > ' ' && r < 0x300 && unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
}

// escapeControls returns JSON with the control and format characters of its
// strings escaped that JSON allows as they are.
func escapeControls(json string) string {
	var b strings.Builder
	for _, r := range json {
		if r == '\n' || !unicode.IsControl(r) && !unicode.Is(unicode.Cf, r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}
