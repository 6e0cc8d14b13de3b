package integration

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// The corpus of malformed requests for tokens is generated: each category takes a
// well-formed request of each endpoint, its control, and makes many of it that are
// wrong in one way.

// tokenEndpoint is a way to ask for a token.
type tokenEndpoint struct {
	name     string
	dialect  string // "" is the native one
	method   string
	path     string
	in       parameterPlace
	media    string // of the body
	members  []tokenMember
	strict   bool // null and members that are not known are wrong, too
	anyMedia bool // the Content-Type does not matter

	// takes are values that are wrong elsewhere, and that the server whose dialect it
	// is reads. nil: none.
	takes func(memberRole, string) bool
}

type parameterPlace int

const (
	inJSON  parameterPlace = iota
	inForm                 // in the body
	inQuery                // in the URL
	inPath                 // in the URL's path
)

// tokenMember is one parameter of a request.
type tokenMember struct {
	name  string
	value string // JSON, or text that is to be escaped
	role  memberRole
}

type memberRole int

const (
	asText memberRole = iota
	asKind
	asChannel
	asAccount
	asUID     // a number
	asUIDText // a number in a string
	asExpire
	asRole
	asRoleNumber
	asFlag
	asObject
	asList
)

func (r memberRole) number() bool { return r == asUID || r == asExpire || r == asRoleNumber }

// tokenEndpoints are all of them. What they ask for is granted.
var tokenEndpoints = []tokenEndpoint{
	{
		name: "native", method: "POST", path: "/token", media: "application/json", strict: true,
		members: []tokenMember{{"kind", `"rtc"`, asKind}, {"channel", `"room-7"`, asChannel}, {"uid", `42`, asUID}, {"role", `"publisher"`, asRole}, {"expire", `600`, asExpire}},
	},
	{
		name: "native, several kinds", method: "POST", path: "/token", media: "application/json", strict: true,
		members: []tokenMember{{"kinds", `["rtc","rtm"]`, asList}, {"channel", `"room-7"`, asChannel}, {"account", `"42"`, asAccount}, {"role", `"subscriber"`, asRole}, {"expire", `600`, asExpire}},
	},
	{
		name: "docker", dialect: "docker", anyMedia: true, method: "POST", path: "/token/generate", media: "application/json",
		members: []tokenMember{
			{"channelName", `"room-7"`, asChannel}, {"uid", `"42"`, asAccount}, {"tokenExpireTs", `600`, asExpire}, {"privilegeExpireTs", `600`, asExpire},
			{"serviceRtc", `{"enable":true,"role":1}`, asObject}, {"serviceRtm", `{"enable":false}`, asObject},
		},
	},
	{
		name: "rtc", dialect: "rtc", anyMedia: true, method: "POST", path: "/fetch_rtc_token", media: "application/json",
		members: []tokenMember{{"uid", `42`, asUID}, {"ChannelName", `"room-7"`, asChannel}, {"role", `1`, asRoleNumber}},
	},
	{
		name: "chat-go", dialect: "chat-go", anyMedia: true, method: "POST", path: "/generate-user-token", media: "application/json",
		members: []tokenMember{{"user_uuid", `"42"`, asAccount}, {"expire", `600`, asExpire}},
	},
	{
		name: "chat-node", dialect: "chat-node", method: "GET", path: "/api/token/generateUserToken", in: inQuery,
		members: []tokenMember{{"account", `42`, asAccount}, {"expireTimeInSeconds", `600`, asExpire}},
	},
	{
		name: "chat-python", dialect: "chat-python", method: "GET", path: "/api/token/generateUserToken", in: inQuery,
		members: []tokenMember{{"account", `42`, asAccount}, {"expireTimeInSeconds", `600`, asExpire}},
	},
	{
		name: "chat-java", dialect: "chat-java", method: "POST", path: "/token/generate", in: inForm, media: "application/x-www-form-urlencoded",
		members: []tokenMember{{"userId", `42`, asAccount}, {"expireSeconds", `600`, asExpire}, {"tokenType", `user`, asKind}},
		// Spring has the default for a blank one.
		takes: func(role memberRole, value string) bool { return role == asKind && value == "" },
	},
	{
		name: "token-service", dialect: "token-service", anyMedia: true, method: "POST", path: "/getToken", media: "application/json",
		members: []tokenMember{{"tokenType", `"rtc"`, asKind}, {"channel", `"room-7"`, asChannel}, {"role", `"publisher"`, asText}, {"uid", `"42"`, asAccount}, {"expire", `600`, asExpire}},
	},
	{
		name: "token-service, in the path", dialect: "token-service", method: "GET", path: "/rtc/", in: inPath,
		members: []tokenMember{{"", `room-7`, asChannel}, {"", `publisher`, asText}, {"", `uid`, asKind}, {"", `42`, asUIDText}, {"expiry", `600`, asExpire}},
	},
}

// A tokenRequest is a request before it is written.
type tokenRequest struct {
	method, target string
	headers        []string // lines, beside Host and Connection
	body           string
	framed         bool // headers say how long the body is
	ends           bool // the sending side is closed behind it
	raw            string
}

// bytes is what is written on a connection.
func (r tokenRequest) bytes(host string) string {
	if r.raw != "" {
		return strings.ReplaceAll(r.raw, "$HOST", host)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", r.method, r.target, host)
	for _, line := range r.headers {
		b.WriteString(line + "\r\n")
	}
	if !r.framed && (r.body != "" || r.method != "GET") {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(r.body))
	}
	return b.String() + "\r\n" + r.body
}

// request returns the well-formed request, with members in the place of the
// endpoint's own.
func (e tokenEndpoint) request(members []tokenMember) tokenRequest {
	r := tokenRequest{method: e.method, target: e.path}
	switch e.in {
	case inJSON:
		r.body = jsonBody(members)
	case inForm:
		r.body = formBody(members)
	case inQuery:
		r.target += "?" + formBody(members)
	case inPath:
		for _, m := range members {
			if m.name == "" {
				r.target += url.PathEscape(m.value) + "/"
			}
		}
		for _, m := range members {
			if m.name != "" {
				r.target += "?" + formBody([]tokenMember{m})
			}
		}
	}
	if e.media != "" {
		r.headers = []string{"Content-Type: " + e.media}
	}
	return r
}

func (e tokenEndpoint) wellFormed() tokenRequest { return e.request(e.members) }

// with returns the well-formed request with another value of one member.
func (e tokenEndpoint) with(i int, value string) tokenRequest {
	members := slices.Clone(e.members)
	members[i].value = value
	return e.request(members)
}

// withBody returns the well-formed request with another body; of an endpoint
// without one, with another query.
func (e tokenEndpoint) withBody(body string) tokenRequest {
	r := e.wellFormed()
	r.body = body
	return r
}

func jsonBody(members []tokenMember) string {
	parts := make([]string, len(members))
	for i, m := range members {
		parts[i] = fmt.Sprintf("%q:%s", m.name, m.value)
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func formBody(members []tokenMember) string {
	parts := make([]string, len(members))
	for i, m := range members {
		parts[i] = url.QueryEscape(m.name) + "=" + url.QueryEscape(m.value)
	}
	return strings.Join(parts, "&")
}

// A malformedToken is a request that gets no token.
type malformedToken struct {
	name    string
	request tokenRequest
}

// A tokenCategory is a way of being wrong.
type tokenCategory struct {
	name string

	// control is well-formed, and of the kind that the category is about.
	control func(tokenEndpoint) tokenRequest

	// cases are wrong. There may be none for an endpoint that cannot be asked in
	// this way.
	cases func(tokenEndpoint) []malformedToken
}

var tokenCategories = []tokenCategory{
	{"types", tokenEndpoint.wellFormed, wrongTypes},
	{"ranges", atTheLimit, outOfRange},
	{"number forms", tokenEndpoint.wellFormed, wrongNumbers},
	{"encodings", escaped, wrongEncodings},
	{"sizes", largeEnough, tooLarge},
	{"duplicates", reordered, duplicates},
	{"methods", tokenEndpoint.wellFormed, wrongMethods},
	{"content types", spacedMedia, wrongMedia},
	{"charsets", utf8Charset, wrongCharsets},
	{"paths", tokenEndpoint.wellFormed, wrongPaths},
	{"unknown members", tokenEndpoint.wellFormed, unknownMembers},
	{"truncated bodies", chunked, truncated},
	{"structure", spaced, wrongStructure},
	{"headers", manyHeaders, wrongHeaders},
}

// each applies values to the members that a predicate chooses.
func (e tokenEndpoint) each(chosen func(tokenMember) bool, values func(tokenMember) []string) (list []malformedToken) {
	for i, m := range e.members {
		if !chosen(m) {
			continue
		}
		for _, value := range values(m) {
			if e.takes != nil && e.takes(m.role, value) {
				continue
			}
			list = append(list, malformedToken{fmt.Sprintf("%s %s", cmpOr(m.name, "segment "+itoa(i)), value), e.with(i, value)})
		}
	}
	return list
}

func cmpOr(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// wrongTypes has each member of each type that it is not of.
func wrongTypes(e tokenEndpoint) []malformedToken {
	if e.in != inJSON {
		return e.each(func(m tokenMember) bool { return m.role == asExpire || m.role == asUIDText }, func(tokenMember) []string {
			return []string{"abc", "true", "false", "[]", "[600]", "{}", `{"n":600}`, `"600"`, "'600'", "six", "600s", "10m", "1h", "600;", "600,600", "600 600", "\x00600", "600\n", "None", "undefined", "$600", "600%", "=600", "null", "600.5"}
		})
	}
	return e.each(func(tokenMember) bool { return true }, func(m tokenMember) []string {
		var list []string
		switch {
		case m.role.number():
			list = []string{`"42"`, `""`, `true`, `false`, `[]`, `[42]`, `{}`, `{"n":42}`, `"0"`, `"x"`}
		case m.role == asObject:
			list = []string{`0`, `1`, `""`, `"x"`, `true`, `false`, `[]`, `[{}]`, `{"enable":1}`, `{"enable":"true"}`, `{"enable":[]}`, `{"enable":true,"role":"1"}`, `{"enable":true,"role":[]}`, `{"enable":true,"role":true}`}
			if m.name == "serviceRtm" {
				list = list[:11]
			}
		case m.role == asList:
			list = []string{`"rtc"`, `1`, `true`, `{}`, `[1]`, `["rtc",1]`, `["rtc",["rtm"]]`, `["rtc",null]`, `[{}]`, `[true]`, `[[]]`}
		default:
			list = []string{`1`, `4.2`, `true`, `false`, `[]`, `["room-7"]`, `{}`, `{"x":1}`}
		}
		if e.strict {
			list = append(list, "null")
		}
		return list
	})
}

// atTheLimit has everything as long and as large as it may be.
func atTheLimit(e tokenEndpoint) tokenRequest {
	members := slices.Clone(e.members)
	for i, m := range members {
		value := m.value
		switch m.role {
		case asChannel:
			value = strings.Repeat("c", 63)
		case asAccount:
			value = strings.Repeat("a", 64)
		case asUID, asUIDText:
			value = "4294967295"
		case asExpire:
			value = "86400"
		}
		if value != m.value && e.in == inJSON && !m.role.number() {
			value = `"` + value + `"`
		}
		members[i].value = value
	}
	return e.request(members)
}

func outOfRange(e tokenEndpoint) []malformedToken {
	numbers := []string{"-1", "-42", "-4294967295", "4294967296", "4294967338", "9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616", "18446744073709551658", "99999999999999999999", strings.Repeat("9", 400)}
	channels := []string{strings.Repeat("c", 64), strings.Repeat("c", 65), strings.Repeat("c", 1000), "room\t7", "room\n7", "room\r\n7", "room/7", `room\7`, `room"7`, "room'7", "room`7", "roöm", "房间", "room😀", "room\x007", "room\x1b7", "room\x7f7", "room\u00a07", "room\u200b7", "room\u202e7", "room\ufeff7"}
	accounts := []string{strings.Repeat("a", 256), strings.Repeat("a", 1000), "4\x002", "4\n2", "4\r2", "4\t2", "4\x1b2", "4\x7f2", "4\u00852", strings.Repeat("ä", 128)}
	kinds := []string{"", " ", "RTC2", "rtc ", " rtc", "rtc,rtm", "rtc rtm", "*", "all", "app_id", "chat_user", "007", "rtc\x00", "ｒｔｃ", "../rtc"}
	roles := []string{"", " ", "admin", "Publisher", "PUBLISHER", "publisher ", " publisher", "host", "broadcaster", "1", "2", "*", "publisher,subscriber", "publisher\x00"}
	var list []malformedToken
	for i, m := range e.members {
		var values []string
		switch m.role {
		case asExpire, asUID, asUIDText, asRoleNumber:
			values = numbers
			if m.role == asRoleNumber {
				values = append(slices.Clone(numbers), "99", "65537")
			}
		case asChannel:
			values = channels
		case asAccount:
			values = accounts
		case asKind:
			values = kinds
		case asRole:
			values = roles
		}
		for _, value := range values {
			if e.takes != nil && e.takes(m.role, value) {
				continue
			}
			name := fmt.Sprintf("%s %.40q", cmpOr(m.name, "segment "+itoa(i)), value)
			if e.in == inJSON && !m.role.number() {
				value = jsonString(value)
			}
			list = append(list, malformedToken{name, e.with(i, value)})
		}
	}
	return list
}

// jsonString is text as a JSON string, control characters escaped.
func jsonString(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range text {
		if c < 0x20 || c == '"' || c == '\\' || c == 0x7f {
			fmt.Fprintf(&b, `\u%04x`, c)
		} else {
			b.WriteRune(c)
		}
	}
	return b.String() + `"`
}

// wrongNumbers are numbers that one reader takes and another does not.
func wrongNumbers(e tokenEndpoint) []malformedToken {
	return e.each(func(m tokenMember) bool { return m.role.number() || m.role == asUIDText }, func(tokenMember) []string {
		list := []string{
			"+42", "42.", ".42", "42.0", "42.5", "4.2e1", "42e0", "42E0", "4200e-2", "1e1000", "0x2a", "0X2A", "0b101010", "0o52", "4_2", "4 2", "4,2", "-0", "-42", "--42",
			"Infinity", "-Infinity", "NaN", "42n", "42L", "42u", "42f", "42/1", "(42)", "'42'", "４２", "٤٢", "4²", "42e", "42e+", "e42", "42abc", "42%", "1/2", "½", "XLII",
		}
		if e.in == inJSON {
			list = append(list, "042", "00", "0042")
		}
		return list
	})
}

// escaped is written with as many escapes as there can be.
func escaped(e tokenEndpoint) tokenRequest {
	members := slices.Clone(e.members)
	for i, m := range members {
		switch {
		case e.in == inJSON && m.role == asChannel:
			members[i].value = `"\u0072\u006f\u006f\u006d\u002d\u0037"`
		case e.in == inJSON && m.role == asAccount:
			members[i].value = `"\u0034\u0032"`
		}
	}
	r := e.request(members)
	switch e.in {
	case inForm:
		r.body = strings.Replace(r.body, "=42", "=%34%32", 1)
	case inQuery:
		r.target = strings.Replace(r.target, "=42", "=%34%32", 1)
	case inPath:
		r.target = strings.Replace(r.target, "/room-7/", "/%72%6F%6F%6D-7/", 1)
	}
	return r
}

// badUTF8 are bytes that are no UTF-8.
var badUTF8 = []string{
	"\xff", "\xfe", "\xc0\xaf", "\xc0\x80", "\xc1\xbf", "\xe0\x80\xaf", "\xe0\x9f\xbf", "\xf0\x80\x80\xaf", "\xf0\x8f\xbf\xbf", "\xed\xa0\x80", "\xed\xbf\xbf", "\xed\xa0\xbd\xed\xb8\x80",
	"\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf8\x88\x80\x80\x80", "\x80", "\xbf", "\xc3", "\xe2\x82", "\xf0\x9f\x98", "\xc3\x28", "\xe2\x28\xa1", "\xe4", "\xa4",
}

func wrongEncodings(e tokenEndpoint) (list []malformedToken) {
	add := func(name string, r tokenRequest) { list = append(list, malformedToken{name, r}) }
	good := e.wellFormed()
	if e.in != inJSON {
		// In the last of the texts.
		for _, text := range append(badUTF8, "\x00", "\x01", "\n", "\x7f") {
			r := good
			replace := func(s string) string { return strings.Replace(s, "42", "4"+url.QueryEscape(text)+"2", 1) }
			r.body, r.target = replace(r.body), replace(r.target)
			add(fmt.Sprintf("percent-encoded %q", text), r)
		}
		for _, text := range []string{"%", "%4", "%zz", "%u0034", "%-1", "%%34", "%4 2", "%G0"} {
			r := good
			replace := func(s string) string { return strings.Replace(s, "42", "4"+text, 1) }
			r.body, r.target = replace(r.body), replace(r.target)
			add("encoded as "+text, r)
		}
		return list
	}
	at := strings.Index(good.body, `":"`) + 3
	for _, text := range badUTF8 {
		add(fmt.Sprintf("bytes %q", text), e.withBody(good.body[:at]+text+good.body[at:]))
		add(fmt.Sprintf("bytes %q in a name", text), e.withBody(`{"`+text+`":1,`+good.body[1:]))
	}
	for _, text := range []string{`\ud800`, `\udc00`, `\udfff`, `\ud800x`, `\udc00\ud800`, `\ud800\u0041`, `\u0`, `\u00zz`, `\x41`, `\u{41}`, `\'`, `\0`, `\8`, `\U00000041`, `\ `, "\\\n", "\x00", "\n", "\t", "\x1f"} {
		add(fmt.Sprintf("text %q", text), e.withBody(good.body[:at]+text+good.body[at:]))
	}
	wide := func(first, second int) string {
		var b strings.Builder
		for _, c := range []byte(good.body) {
			pair := [2]byte{}
			pair[first], pair[second] = c, 0
			b.Write(pair[:])
		}
		return b.String()
	}
	for name, body := range map[string]string{
		"a byte order mark": "\xef\xbb\xbf" + good.body, "UTF-16LE": wide(0, 1), "UTF-16BE": wide(1, 0), "UTF-16 with its mark": "\xff\xfe" + wide(0, 1),
		"percent-encoded": url.QueryEscape(good.body), "a form": "body=" + url.QueryEscape(good.body), "a string": jsonString(good.body), "base64": "eyJraW5kIjoicnRjIn0=",
		"single quotes": strings.ReplaceAll(good.body, `"`, `'`), "no quotes": strings.ReplaceAll(good.body, `"`, ``), "quotes of typographers": strings.ReplaceAll(good.body, `"`, `“`),
		"XML": "<channel>room-7</channel>", "YAML": "channel: room-7\nuid: 42", "a zero byte in front": "\x00" + good.body, "a zero byte behind": good.body + "\x00",
	} {
		add(name, e.withBody(body))
	}
	slices.SortFunc(list, func(a, b malformedToken) int { return strings.Compare(a.name, b.name) })
	return list
}

const tokenMaxBody = 8 << 10

// largeEnough is as large as a body may be.
func largeEnough(e tokenEndpoint) tokenRequest {
	r := e.wellFormed()
	switch e.in {
	case inJSON:
		r.body += strings.Repeat(" ", tokenMaxBody-len(r.body))
	case inForm:
		r.body += "&x=" + strings.Repeat("x", tokenMaxBody-len(r.body)-3)
	}
	return r
}

func tooLarge(e tokenEndpoint) (list []malformedToken) {
	add := func(name string, r tokenRequest) { list = append(list, malformedToken{name, r}) }
	good := e.wellFormed()
	grow := func(what string, n int) tokenRequest {
		r := good
		pad := strings.Repeat("x", n)
		switch {
		case e.in == inJSON && what == "space":
			r.body += strings.Repeat(" ", n)
		case e.in == inJSON:
			r.body = `{"` + pad + `":1,` + r.body[1:]
		case e.in == inForm:
			r.body += "&x=" + pad
		case e.in == inQuery:
			r.target = strings.Replace(r.target, "=42", "=42"+pad, 1)
		case e.in == inPath:
			r.target = strings.Replace(r.target, "/room-7/", "/room-7"+pad+"/", 1)
		}
		return r
	}
	for _, n := range []int{tokenMaxBody, tokenMaxBody + 1, 10_000, 16_000, 32_000, 40_000, 50_000, 60_000} {
		add(fmt.Sprintf("%d bytes more", n), grow("", n))
	}
	if e.in == inJSON {
		for _, n := range []int{tokenMaxBody, tokenMaxBody + 1, 10_000, 65_536, 100_000, 1 << 20} {
			add(fmt.Sprintf("%d spaces more", n), grow("space", n))
		}
		for _, n := range []int{100, 600, 4000} {
			for _, bracket := range []string{"[", `{"a":`} {
				add(fmt.Sprintf("%d times %s", n, bracket), e.withBody(strings.Repeat(bracket, n)))
				add(fmt.Sprintf("%d times %s within", n, bracket), e.withBody(`{"x":`+strings.Repeat(bracket, n)+good.body+"}"))
			}
		}
		for _, n := range []int{65, 100, 500} {
			body := "{"
			for i := range n {
				body += fmt.Sprintf(`"m%d":0,`, i)
			}
			add(fmt.Sprintf("%d members", n), e.withBody(body+good.body[1:]))
		}
	}
	if e.in == inJSON || e.in == inForm {
		for _, n := range []int{tokenMaxBody + 1, 1 << 20, 1 << 40} {
			r := good
			r.framed, r.ends = true, true
			r.headers = append(slices.Clone(r.headers), fmt.Sprintf("Content-Length: %d", n))
			add(fmt.Sprintf("%d bytes that do not come", n), r)
		}
		for _, n := range []int{16, 1000, 4000} {
			r := good
			r.framed = true
			r.headers = append(slices.Clone(r.headers), "Transfer-Encoding: chunked")
			chunk := fmt.Sprintf("%x\r\n%s\r\n", n, strings.Repeat(" ", n))
			r.body = fmt.Sprintf("%x\r\n%s\r\n", len(good.body), good.body) + strings.Repeat(chunk, tokenMaxBody/n+1) + "0\r\n\r\n"
			add(fmt.Sprintf("chunks of %d bytes", n), r)
		}
	}
	for _, n := range []int{72_000, 100_000} {
		r := good
		r.headers = append(slices.Clone(r.headers), "X-Large: "+strings.Repeat("x", n))
		add(fmt.Sprintf("a header of %d bytes", n), r)
	}
	return list
}
