package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/caddy-convoai/convoai/api"
)

func TestCompleteChangesNothingButTheFilledMembers(t *testing.T) {
	const documents = 10_000
	r := rand.New(rand.NewPCG(20261114, 8))
	outcomes := map[string]int{}
	for i := range documents {
		doc := document{Rand: r}.body()
		op := []*api.Operation{api.Join, api.Call}[i%2]
		outcome, problem := checkCompletion(op, []byte(doc))
		if problem != "" {
			t.Fatalf("document %d, %s: %s\n%s", i, op, problem, doc)
		}
		outcomes[outcome]++
	}
	t.Log(outcomes)
	for _, outcome := range []string{"refused", "unchanged", "filled"} {
		if outcomes[outcome] < documents/20 {
			t.Errorf("only %d of the documents were %s: the test does not test it", outcomes[outcome], outcome)
		}
	}
}

// FuzzComplete checks completions against encoding/json.
func FuzzComplete(f *testing.F) {
	files, err := filepath.Glob("testdata/bodies/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal("no bodies in testdata: ", err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body, true)
		f.Add(body, false)
	}
	f.Fuzz(func(t *testing.T, body []byte, call bool) {
		op := api.Join
		if call {
			op = api.Call
		}
		if strings.Contains(string(body), "\ufffd") || !bytes.Equal(body, bytes.ToValidUTF8(body, nil)) || strings.Contains(strings.ToLower(string(body)), `\ud`) {
			return // encoding/json puts U+FFFD in the place of what is not Unicode
		}
		if bytes.Count(body, []byte("["))+bytes.Count(body, []byte("{")) > api.MaxDepth {
			return // and nests deeper
		}
		if _, problem := checkCompletion(op, body); problem != "" {
			t.Fatal(problem)
		}
	})
}

const filledApp = "MADE:app"

func hasControl(name string) bool { return strings.ContainsFunc(name, unicode.IsControl) }

func filledToken(channel, account string) string { return "MADE:" + channel + "\x1f" + account }

// checkCompletion completes body and says what is wrong with the result, in two
// ways that know nothing of how it was made: by value, and byte by byte.
func checkCompletion(op *api.Operation, body []byte) (outcome, problem string) {
	root, ok := decodeObject(body)
	accepted := ok && root.complete(op)
	b, err := api.ParseBody(op, bytes.Clone(body))
	if err != nil {
		if accepted {
			return "", "refused: " + err.Error()
		}
		return "refused", ""
	}
	if !accepted {
		return "", "not refused"
	}
	if session, err := api.ParseSession(body); err != nil || session != b.Session {
		return "", fmt.Sprintf("another session than that of ParseSession: %+v, %+v, %v", b.Session, session, err)
	}
	out, err := b.Complete(filledApp, func(channel, account string) (string, error) { return filledToken(channel, account), nil })
	if err != nil {
		return "", err.Error()
	}
	got, ok := decodeObject(out)
	if !ok {
		return "", fmt.Sprintf("the result is no JSON object: %s", out)
	}
	if !reflect.DeepEqual(got, root) {
		return "", fmt.Sprintf("wrong members: %s", out)
	}
	if bytes.Equal(out, body) {
		return "unchanged", ""
	}
	if !differOnlyInFilled(body, out) {
		return "", fmt.Sprintf("more was changed than filled in: %s", out)
	}
	return "filled", ""
}

// object is a JSON object as encoding/json reads it: the last of several members
// counts, numbers are text.
type object map[string]any

func decodeObject(body []byte) (object, bool) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var o map[string]any
	err := d.Decode(&o)
	return o, err == nil && o != nil && json.Valid(body)
}

func (o object) object(name string) object {
	member, _ := o[name].(map[string]any)
	return member
}

func (o object) lacks(name string) bool { return o[name] == nil || o[name] == "" }

func (o object) fill(name string, value any) {
	if o.lacks(name) {
		o[name] = value
	}
}

// account reads a uid as it is documented.
func (o object) account(name string) (account string, ok bool) {
	switch uid := o[name].(type) {
	case nil:
		return "0", true
	case string:
		if uid == "" {
			uid = "0"
		}
		return uid, len(uid) <= 255 && !hasControl(uid)
	case json.Number:
		return uid.String(), !strings.ContainsAny(uid.String(), "-+.eE") && len(uid) <= 255
	}
	return "", false
}

// complete does what Complete is documented to do, and reports whether the body
// is one that is accepted.
func (o object) complete(op *api.Operation) bool {
	properties := o.object("properties")
	channel, _ := properties["channel"].(string)
	account, ok := properties.account("agent_rtc_uid")
	if !ok || channel == "" || len(channel) > 63 || hasControl(channel) {
		return false
	}
	properties.fill("token", filledToken(channel, account))
	properties.object("avatar").completeAvatar(channel)
	if sip := o.object("sip"); op == api.Call && sip != nil && sip.lacks("rtc_token") {
		account, ok := sip.account("rtc_uid")
		if !ok {
			return false
		}
		sip.fill("rtc_token", filledToken(channel, account))
	}
	return true
}

func (o object) completeAvatar(channel string) {
	if o == nil || o["enable"] == false {
		return
	}
	vendor := o["vendor"]
	params := o.object("params")
	if vendor == "generic" {
		if params == nil && o.lacks("params") {
			params = object{}
			o["params"] = map[string]any(params)
		}
		if params != nil {
			params.fill("agora_appid", filledApp)
			params.fill("agora_channel", channel)
		}
	}
	uid := fmt.Sprint(params["agora_uid"]) // <nil>, true and lists are no number either
	n, err := strconv.ParseUint(uid, 10, 32)
	if (vendor == "generic" || vendor == "heygen" || vendor == "liveavatar") && err == nil {
		params.fill("agora_token", filledToken(channel, strconv.FormatUint(n, 10)))
	}
}

// differOnlyInFilled reports whether out is body with nothing but filled members
// put in, or filled values in the place of null and "".
func differOnlyInFilled(body, out []byte) bool {
	if len(body) == 0 || len(out) == 0 {
		return len(body) == len(out)
	}
	if n := filledMember(out); n > 0 && differOnlyInFilled(body, out[n:]) {
		return true
	}
	for _, empty := range []string{`null`, `""`} {
		if n := filledValue(out); n > 0 && bytes.HasPrefix(body, []byte(empty)) && differOnlyInFilled(body[len(empty):], out[n:]) {
			return true
		}
	}
	for len(body) > 0 && len(out) > 0 && body[0] == out[0] {
		body, out = body[1:], out[1:]
		if filledMember(out) > 0 || filledValue(out) > 0 {
			return differOnlyInFilled(body, out)
		}
	}
	return len(body) == 0 && len(out) == 0
}

// filledMember returns the length of the filled member that out begins with, its
// comma included.
func filledMember(out []byte) int {
	rest := bytes.TrimPrefix(out, []byte(","))
	for _, name := range []string{"token", "rtc_token", "agora_token", "agora_appid", "agora_channel", "params"} {
		if after, ok := bytes.CutPrefix(rest, []byte(`"`+name+`":`)); ok {
			if n := filledValue(after); n > 0 {
				return len(out) - len(after) + n
			}
		}
	}
	return 0
}

// filledValue returns the length of the filled value that out begins with: a
// string, or the two members of a generic avatar's params.
func filledValue(out []byte) int {
	if len(out) == 0 || out[0] != '"' && !bytes.HasPrefix(out, []byte(`{"agora_appid":"`+filledApp+`","agora_channel":"`)) {
		return 0
	}
	var value json.RawMessage
	d := json.NewDecoder(bytes.NewReader(out))
	if d.Decode(&value) != nil {
		return 0
	}
	return len(value)
}

// document makes JSON text at random: what bodies are made of, and what nobody
// would think of.
type document struct{ *rand.Rand }

func (d document) pick(list ...string) string { return list[d.IntN(len(list))] }

func (d document) space() string {
	return d.pick("", "", "", "", "", "", " ", "\n", "\t", "\r\n", "  \n\t ")
}

// text writes s as a JSON string, some characters of it escaped.
func (d document) text(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case r < 0x20:
			fmt.Fprintf(&b, `\u%04X`, r)
		case r < 0x10000 && d.IntN(12) == 0:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String() + `"`
}

// object writes members, and others between them that mean nothing.
func (d document) object(members ...string) string {
	var list []string
	for range d.IntN(4) {
		list = append(list, d.member(d.pick("x", "x", "y", "", "tokens", "Token", "channel ", "properties.token", "a\"b", "ä", "😀", "{", "llm"), d.value(3)))
	}
	for _, m := range members {
		at := d.IntN(len(list) + 1)
		list = append(list[:at], append([]string{m}, list[at:]...)...)
	}
	return "{" + d.space() + strings.Join(list, ",") + d.space() + "}"
}

func (d document) member(name, value string) string {
	return d.space() + d.text(name) + d.space() + ":" + d.space() + value + d.space()
}

// members writes the member n times, mostly once, each with a value of its own.
func (d document) members(name string, value func() string) []string {
	var list []string
	for range []int{0, 1, 1, 1, 1, 1, 1, 2, 3}[d.IntN(9)] {
		list = append(list, d.member(name, value()))
	}
	return list
}

func (d document) value(depth int) string {
	if depth == 0 || d.IntN(3) > 0 {
		return d.scalar()
	}
	switch d.IntN(8) {
	case 0:
		n := d.IntN(400)
		return strings.Repeat("[", n) + d.scalar() + strings.Repeat("]", n)
	case 1, 2, 3:
		var list []string
		for range d.IntN(4) {
			list = append(list, d.space()+d.value(depth-1)+d.space())
		}
		return "[" + strings.Join(list, ",") + "]"
	}
	var list []string
	for range d.IntN(4) {
		list = append(list, d.member(d.pick("a", "b", "token", "channel", "avatar", "properties", "rtc_token"), d.value(depth-1)))
	}
	return "{" + strings.Join(list, ",") + "}"
}

func (d document) scalar() string {
	return d.pick("null", "true", "false", `""`, "0", "-0", "0.0", "1.50", "1e+2", "1E400", "-1e-400", "12345678901234567890123", "0.1000000000000000055511151231257827",
		`"\u0000\b\f\n\r\t\/\\\""`, `"\ud83d\ude00ä"`, `"{\"properties\":{\"token\":\"\"}}"`, `"],}\\"`, `"007`+d.text(d.pick("a", "b", "ü"))[1:])
}

// secret writes the value of a token's member.
func (d document) secret() string {
	return d.pick("null", `""`, `"007given"`, `"007given"`, d.scalar(), d.value(2))
}

func (d document) uid() string {
	return d.pick(`"1001"`, `"1001"`, `"0"`, `""`, "null", "0", "7", "0", "4294967296", `"4294967295"`, `"007"`, d.text("agent ü"), d.scalar(),
		`"`+strings.Repeat("u", 254+d.IntN(3))+`"`)
}

func (d document) channel() string {
	return d.pick(`"c"`, d.text("room-1"), d.text("räum \"1\" \\"), d.text("😀{}"), d.text("room-2"), d.text("room-3"), d.text("room-4"),
		`"`+strings.Repeat("c", 62+d.IntN(3))+`"`, d.scalar())
}

func (d document) avatar() string {
	if d.IntN(8) == 0 {
		return d.value(1)
	}
	var members []string
	if d.IntN(2) == 0 {
		members = d.members("enable", func() string { return d.pick("true", "true", "true", "false", "null", `"false"`) })
	}
	members = append(members, d.members("vendor", func() string {
		return d.pick(`"heygen"`, `"liveavatar"`, `"generic"`, `"generic"`, `"akool"`, `"Generic"`, "null", d.text("generic"))
	})...)
	return d.object(append(members, d.members("params", func() string {
		if d.IntN(8) == 0 {
			return d.pick("null", `""`, "[]", "7")
		}
		params := d.members("agora_uid", d.uid)
		params = append(params, d.members("agora_appid", d.secret)...)
		params = append(params, d.members("agora_channel", d.secret)...)
		return d.object(append(params, d.members("agora_token", d.secret)...)...)
	})...)...)
}

// body writes a join or a call.
func (d document) body() string {
	var members []string
	if d.IntN(2) == 0 {
		members = d.members("sip", func() string {
			if d.IntN(8) == 0 {
				return d.value(1)
			}
			return d.object(append(d.members("rtc_uid", d.uid), d.members("rtc_token", d.secret)...)...)
		})
	}
	members = append(members, d.members("properties", func() string {
		if d.IntN(30) == 0 {
			return d.value(1)
		}
		list := d.members("channel", d.channel)
		list = append(list, d.members("agent_rtc_uid", d.uid)...)
		list = append(list, d.members("token", d.secret)...)
		if d.IntN(2) == 0 {
			list = append(list, d.members("avatar", d.avatar)...)
		}
		return d.object(list...)
	})...)
	return d.space() + d.object(members...) + d.space()
}
