package strictjson

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestMembersKeepTheirOrder(t *testing.T) {
	data, err := Read(strings.NewReader(` {"b":1, "a":{"x":[1,2]},"\u0063":"s"} `), 100)
	if err != nil {
		t.Fatal(err)
	}
	members, err := Object("it", data)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range members {
		got = append(got, m.Name+"="+string(m.Value))
	}
	if s := strings.Join(got, " "); s != `b=1 a={"x":[1,2]} c="s"` {
		t.Error(s)
	}
}

func TestReadRefuses(t *testing.T) {
	for name, c := range map[string][2]string{
		"too large":    {strings.Repeat(" ", 100) + "1", "larger than 100 bytes"},
		"not UTF-8":    {"\"\xff\"", "not valid UTF-8"},
		"two values":   {"1\n2", "not valid JSON in line 2"},
		"open":         {"{", "not valid JSON"},
		"nothing":      {"", "not valid JSON"},
		"deep nesting": {strings.Repeat("[", 99), "not valid JSON"},
	} {
		if _, err := Read(strings.NewReader(c[0]), 100); err == nil || !strings.Contains(err.Error(), c[1]) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if data, err := Read(strings.NewReader(strings.Repeat(" ", 99)+"1"), 100); err != nil || len(data) != 100 {
		t.Errorf("as large as allowed: %v", err)
	}
}

func TestValuesOfTheWrongKind(t *testing.T) {
	check := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.HasPrefix(err.Error(), "it") {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, data := range []string{`1`, `"s"`, `[1]`, `{"a":1}`, `null`, `true`, ``} {
		raw := json.RawMessage(data)
		if !strings.HasPrefix(data, "{") {
			_, err := Object("it", raw)
			check("object "+data, err)
		}
		if !strings.HasPrefix(data, "[") {
			_, err := Array("it", raw, 9)
			check("array "+data, err)
		}
		if !strings.HasPrefix(data, `"`) {
			_, err := String("it", raw)
			check("string "+data, err)
		}
		if data != "1" {
			_, err := Integer("it", raw, 0, 9)
			check("integer "+data, err)
		}
		if data != "true" {
			_, err := Bool("it", raw)
			check("bool "+data, err)
		}
	}
	for _, data := range []string{`{"a":1,"a":1}`, `{"a":}`, `{"a"`, `{"a":1,`, `{1:1}`} {
		_, err := Object("it", json.RawMessage(data))
		check(data, err)
	}
	_, err := Array("it", json.RawMessage(`[1,2]`), 1)
	check("long array", err)
	_, err = Integer("it", json.RawMessage(`10`), 0, 9)
	check("large", err)
	_, err = Integer("it", json.RawMessage(`-1`), 0, 9)
	check("small", err)
	for _, name := range []string{"", "-1", "01", "+1", "1.0", "10", "x"} {
		_, err := Key("it", name, 9)
		check("key "+name, err)
	}
	_, err = String("it", json.RawMessage(`"\udc00\ufffd"`))
	check("half a pair", err)
}

func TestValues(t *testing.T) {
	for data, want := range map[string]string{`"a\u00e9"`: "aé", `"\ufffd\uFFFD�"`: "���", ` "x" `: "x", `"\ud83d\ude00"`: "😀"} {
		if s, err := String("it", json.RawMessage(data)); s != want || err != nil {
			t.Errorf("%s: %q, %v", data, s, err)
		}
	}
	for data, want := range map[string]bool{"true": true, " false ": false} {
		if b, err := Bool("it", json.RawMessage(data)); b != want || err != nil {
			t.Errorf("%s: %t, %v", data, b, err)
		}
	}
	if n, err := Integer("it", json.RawMessage(" -3 "), -3, 0); n != -3 || err != nil {
		t.Error(n, err)
	}
	if n, err := Key("it", "9", 9); n != 9 || err != nil {
		t.Error(n, err)
	}
	if list, err := Array("it", json.RawMessage(` [1, "a"]`), 2); len(list) != 2 || string(list[1]) != `"a"` || err != nil {
		t.Error(list, err)
	}
}
