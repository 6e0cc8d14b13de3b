package integration

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// reordered has the members in another order, which means nothing.
func reordered(e tokenEndpoint) tokenRequest {
	if e.in == inPath {
		return e.wellFormed()
	}
	members := slices.Clone(e.members)
	slices.Reverse(members)
	return e.request(members)
}

// duplicates say the same thing twice, or two things.
func duplicates(e tokenEndpoint) (list []malformedToken) {
	add := func(name string, r tokenRequest) { list = append(list, malformedToken{name, r}) }
	good := e.wellFormed()
	for i, m := range e.members {
		if e.in == inPath && m.name == "" {
			continue
		}
		insert := func(what, name, value string, at int) {
			members := slices.Clone(e.members)
			add(what+" "+m.name, e.request(slices.Insert(members, at, tokenMember{name, value, m.role})))
		}
		other := `"43"`
		if m.role.number() || e.in != inJSON {
			other = "43"
		}
		if e.in == inPath {
			r := good
			r.target += "&" + m.name + "=600"
			add("twice, the same", r)
			r.target = good.target + "&" + m.name + "=700"
			add("twice", r)
			continue
		}
		insert("the same twice", m.name, m.value, i)
		insert("another before", m.name, other, i)
		insert("another behind", m.name, other, i+1)
		if i+1 < len(e.members) {
			insert("another at the end", m.name, other, len(e.members))
		}
		if e.in == inJSON {
			insert("null before", m.name, "null", i)
			insert("null behind", m.name, "null", i+1)
			insert("in capitals", strings.ToUpper(m.name), other, i)
			insert("in capitals behind", strings.ToUpper(m.name), m.value, len(e.members))
			body := fmt.Sprintf(`{"\u%04x%s":%s,`, m.name[0], m.name[1:], other) + good.body[1:]
			add("with an escape, "+m.name, e.withBody(body))
		} else {
			insert("blank before", m.name, "", i)
			r := good
			replace := func(s string) string { return s + fmt.Sprintf("&%%%02X%s=43", m.name[0], m.name[1:]) }
			if e.in == inForm {
				r.body = replace(r.body)
			} else {
				r.target = replace(r.target)
			}
			add("with an escape, "+m.name, r)
		}
	}
	if e.in == inJSON {
		add("two objects", e.withBody(good.body+good.body))
		add("two objects in lines", e.withBody(good.body+"\n"+good.body))
		add("two objects in a list", e.withBody("["+good.body+","+good.body+"]"))
	}
	header := func(name string, lines ...string) {
		r := good
		r.headers = append(slices.Clone(r.headers), lines...)
		add(name, r)
	}
	header("two Host headers", "Host: localhost")
	header("two Host headers, one blank", "Host:")
	if e.media != "" {
		header("two lengths", fmt.Sprintf("Content-Length: %d", len(good.body)+1))
		header("two lengths, one of nothing", "Content-Length: 0")
		header("a list of lengths", fmt.Sprintf("Content-Length: %d, %d", len(good.body), len(good.body)+1))
		if !e.anyMedia {
			header("two media types", "Content-Type: text/plain")
		}
	}
	return list
}

// wrongMethods are all but the endpoint's own.
func wrongMethods(e tokenEndpoint) (list []malformedToken) {
	for _, method := range []string{
		"GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "TRACE", "TRACK", "PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "SEARCH", "QUERY", "REPORT", "PURGE", "LINK",
		"post", "get", "Post", "Get", "POSTS", "GETS", "POST-", "X", "TOKEN", "SUBSCRIBE", "M-SEARCH", "CONNECT",
	} {
		if method == e.method {
			continue
		}
		r := e.wellFormed()
		r.method = method
		list = append(list, malformedToken{method, r})
		if len(list)%4 == 0 {
			r.headers = append(slices.Clone(r.headers), "X-HTTP-Method-Override: "+e.method, "X-HTTP-Method: "+e.method, "X-Method-Override: "+e.method)
			list = append(list, malformedToken{method + ", overridden", r})
		}
	}
	return list
}

// withMedia has another Content-Type; of nothing, none.
func (e tokenEndpoint) withMedia(lines ...string) tokenRequest {
	r := e.wellFormed()
	r.headers = lines
	return r
}

func spacedMedia(e tokenEndpoint) tokenRequest {
	if e.media == "" {
		return e.wellFormed()
	}
	return e.withMedia("content-type:   " + strings.ToUpper(e.media) + "  ")
}

// wrongMedia are other types than that of the body. Among them are those that a web
// page may send anywhere without being asked.
func wrongMedia(e tokenEndpoint) (list []malformedToken) {
	if e.media == "" || e.anyMedia {
		return nil
	}
	types := []string{
		"text/plain", "text/plain;charset=UTF-8", "text/json", "text/html", "text/javascript", "application/javascript", "multipart/form-data; boundary=x", "multipart/form-data", "multipart/mixed; boundary=x",
		"application/octet-stream", "application/xml", "text/xml", "application/jsonp", "application/json5", "application/jsonl", "application/x-ndjson", "application/x-json", "application/vnd.agora+json",
		"application/problem+json", "application/merge-patch+json", "application/jwt", "application/", "application", "/json", "json", "*/*", "application/*", "application json", "application/json/x", "application/jsonx",
		"application/json, text/plain", "text/plain, application/json", "application/json,application/json", `"application/json"`, "application/x-www-form-urlencodedx", "x/y; application/json", "text/plain; application/json",
	}
	if e.in == inJSON {
		types = append(types, "application/x-www-form-urlencoded")
	} else {
		types = append(types, "application/json")
	}
	for _, media := range types {
		list = append(list, malformedToken{media, e.withMedia("Content-Type: " + media)})
	}
	return append(list,
		malformedToken{"none", e.withMedia()},
		malformedToken{"a blank one", e.withMedia("Content-Type:")},
		malformedToken{"another header", e.withMedia("X-Content-Type: " + e.media)},
		malformedToken{"an underscore", e.withMedia("Content_Type: " + e.media)},
	)
}

func utf8Charset(e tokenEndpoint) tokenRequest {
	if e.media == "" {
		return e.wellFormed()
	}
	return e.withMedia("Content-Type: " + e.media + `; charset="UTF-8"`)
}

// wrongCharsets are not that of the body.
func wrongCharsets(e tokenEndpoint) (list []malformedToken) {
	if e.media == "" || e.anyMedia {
		return nil
	}
	for _, charset := range []string{
		"utf-7", "utf-16", "utf-16le", "utf-16be", "utf-32", "iso-8859-1", "iso-8859-15", "latin1", "windows-1252", "us-ascii", "ascii", "gbk", "gb2312", "gb18030", "big5", "shift_jis", "euc-jp", "euc-kr", "koi8-r",
		"cp037", "ibm500", "x-user-defined", "unknown", "utf8mb4", "utf-8,utf-16", `""`, `"utf-8`, `"utf-8" x`, "utf-8; charset=utf-16", "utf-16; charset=utf-8", "utf 8", "\xff",
	} {
		list = append(list, malformedToken{charset, e.withMedia("Content-Type: " + e.media + "; charset=" + charset)})
	}
	return list
}

// wrongPaths are near the endpoint's own, and not it.
func wrongPaths(e tokenEndpoint) (list []malformedToken) {
	good := e.wellFormed()
	path, query, asked := strings.Cut(good.target, "?")
	tail := ""
	if asked {
		tail = "?" + query
	}
	first := path[1:2]
	for _, wrong := range []string{
		"/" + path, path + "/x", path + "//", "//localhost" + path, "/." + path, "/.." + path, "/x/.." + path, path + "/.", path + "/..", path + "/../x", path + "%2f", path + "%2F..", "/%2e" + path, "/%2e%2e" + path, "/%2E%2E" + path,
		"/x/%2e%2e" + path, "/%2f" + path[1:], "/%5c" + path[1:], `/\` + path[1:], path + ";x=1", "/;x=1" + path, path + "%00", path + "%20", path + "%0a", path + "%3f", path + "%23", path + "%2500",
		"/%25" + fmt.Sprintf("%02x", first) + path[2:], path + ".json", path + "s", path[:len(path)-1] + "%", path + "#x", strings.ToUpper(path), "/" + strings.ToUpper(first) + path[2:] + "-", "/api" + path, "/v1" + path, "/cn" + path, path + "\xff", "/ｔ" + path[2:], "/" + path[2:],
	} {
		r := good
		r.target = wrong + tail
		list = append(list, malformedToken{wrong, r})
	}
	return list
}

// unknownMembers are those that nobody knows, for who misspells one gets another
// token than was meant. The servers whose dialects are spoken pass them.
func unknownMembers(e tokenEndpoint) (list []malformedToken) {
	if !e.strict {
		return nil
	}
	for _, name := range []string{
		"Kind", "KIND", "Channel", "CHANNEL", "Uid", "UID", "Account", "Role", "Expire", "expires", "expiry", "expires_in", "expireSeconds", "ttl", "user", "user_id", "userId", "channelName", "channel_name", "cname",
		"privilege", "privileges", "privilege_expire", "app_id", "appId", "app_certificate", "appCertificate", "certificate", "token", "salt", "ts", "issued_at", "kind ", " kind", "", "__proto__", "constructor", "$", "kinds[]", "services", "serviceRtc",
	} {
		for _, value := range []string{`1`, `"42"`} {
			body := jsonBody(append(slices.Clone(e.members), tokenMember{name: name, value: value}))
			list = append(list, malformedToken{fmt.Sprintf("%q: %s", name, value), e.withBody(body)})
		}
	}
	return list
}

// chunked is the same body in small chunks.
func chunked(e tokenEndpoint) tokenRequest {
	r := e.wellFormed()
	if e.media == "" {
		return r
	}
	r.framed = true
	r.headers = append(slices.Clone(r.headers), "Transfer-Encoding: chunked")
	r.body = chunks(r.body, 3) + "0\r\n\r\n"
	return r
}

func chunks(body string, size int) string {
	var b strings.Builder
	for part := range slices.Chunk([]byte(body), size) {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(part), part)
	}
	return b.String()
}

// truncated bodies end before they are whole: as a body of that length, or because
// no more comes.
func truncated(e tokenEndpoint) (list []malformedToken) {
	add := func(name string, r tokenRequest) { list = append(list, malformedToken{name, r}) }
	good := e.wellFormed()
	framed := func(header, body string) tokenRequest {
		r := good
		r.framed, r.ends = true, true
		r.headers = append(slices.Clone(r.headers), header)
		r.body = body
		return r
	}
	if e.in == inJSON {
		for n := range good.body {
			add(fmt.Sprintf("of %d bytes", n), e.withBody(good.body[:n]))
		}
		for n := 1; n < len(good.body); n += 7 {
			add(fmt.Sprintf("without the first %d bytes", n), e.withBody(good.body[n:]))
		}
	}
	if e.media == "" {
		return list
	}
	for n := 0; n < len(good.body); n += 3 {
		add(fmt.Sprintf("%d bytes of %d", n, len(good.body)), framed(fmt.Sprintf("Content-Length: %d", len(good.body)), good.body[:n]))
	}
	for n := 0; n < len(good.body); n += 7 {
		add(fmt.Sprintf("%d bytes in chunks, and no more", n), framed("Transfer-Encoding: chunked", chunks(good.body[:n], 16)))
	}
	add("the whole in chunks without an end", framed("Transfer-Encoding: chunked", chunks(good.body, 16)))
	add("a chunk that is cut", framed("Transfer-Encoding: chunked", "ffff\r\n"+good.body))
	add("a chunk without its line", framed("Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s0\r\n\r\n", len(good.body), good.body)))
	add("a chunk of a negative length", framed("Transfer-Encoding: chunked", fmt.Sprintf("-%x\r\n%s\r\n0\r\n\r\n", len(good.body), good.body)))
	add("a chunk of a length in words", framed("Transfer-Encoding: chunked", "long\r\n"+good.body+"\r\n0\r\n\r\n"))
	return list
}

// spaced has white space wherever it may be.
func spaced(e tokenEndpoint) tokenRequest {
	if e.in != inJSON {
		return e.wellFormed()
	}
	return e.withBody(" \t\r\n" + strings.NewReplacer("{", " {\n", ",", " ,\t", ":", " : ", "}", "\r\n} ").Replace(e.wellFormed().body))
}

// wrongStructure is text that is no request of the endpoint, although it is made of
// the same words.
func wrongStructure(e tokenEndpoint) (list []malformedToken) {
	add := func(name string, r tokenRequest) { list = append(list, malformedToken{name, r}) }
	good := e.wellFormed()
	switch e.in {
	case inJSON:
		for _, body := range []string{
			"null", "true", "0", `""`, "[]", "{}", `"rtc"`, "[" + good.body + "]", "{" + good.body + "}", `{"request":` + good.body + "}", good.body + "}", "{" + good.body, good.body + ",", "," + good.body, good.body + ";", good.body + "x", good.body + "//", "//\n" + good.body,
			"/**/" + good.body, strings.Replace(good.body, "{", "{/**/", 1), strings.Replace(good.body, "}", ",}", 1), strings.Replace(good.body, "{", "{,", 1), strings.Replace(good.body, ",", ",,", 1), strings.Replace(good.body, ":", "=", 1), strings.Replace(good.body, ":", "::", 1), strings.Replace(good.body, ":", "", 1), strings.Replace(good.body, ",", "", 1), strings.Replace(good.body, ",", ";", 1),
			strings.Replace(good.body, `"`, "", 1), strings.Replace(good.body, `"`, `""`, 1), ")]}'\n" + good.body, "for(;;);" + good.body, "data: " + good.body + "\n\n", "callback(" + good.body + ")", "\v" + good.body, "\f" + good.body, "\u00a0" + good.body, "\u2028" + good.body, good.body + "\x1a", "", " ",
		} {
			add(fmt.Sprintf("%.40q", body), e.withBody(body))
		}
		for i, m := range e.members {
			if m.role == asExpire || m.role == asRole || m.role == asObject || m.role == asRoleNumber || m.role == asText {
				continue
			}
			add("without "+m.name, e.request(slices.Delete(slices.Clone(e.members), i, i+1)))
		}
	case inForm, inQuery:
		for _, text := range []string{
			"", "&", "=", "account", "=42", "user=42", "uid=42", "account[]=42", "account%5B%5D=42", "account.id=42", " account=42", "account =42", "account%00=42", "Account=42;x", "a;b=c", "userid=42", "UserId=", "USERID=42",
			"{\"account\":\"42\"}", "%7B%22account%22%3A%2242%22%7D", "account:42", "account=42;expireTimeInSeconds=600", "userId=42;expireSeconds=600", "tokenType=user", "expireSeconds=600&tokenType=user", "expireTimeInSeconds=600", "accounts=42", "_account=42", "userId[]=42&expireSeconds=600&tokenType=user",
		} {
			r := good
			if e.in == inForm {
				r.body = text
			} else {
				r.target = e.path + "?" + text
			}
			add(fmt.Sprintf("%q", text), r)
		}
	case inPath:
		segments := strings.Split(strings.Trim(strings.SplitN(good.target, "?", 2)[0], "/"), "/")
		for n := range segments {
			add(fmt.Sprintf("%d segments", n), tokenRequest{method: "GET", target: "/" + strings.Join(segments[:n], "/")})
			add(fmt.Sprintf("%d segments and a slash", n), tokenRequest{method: "GET", target: "/" + strings.Join(append(slices.Clone(segments[:n]), ""), "/")})
			blank := slices.Clone(segments)
			blank[n] = ""
			add(fmt.Sprintf("segment %d is blank", n), tokenRequest{method: "GET", target: "/" + strings.Join(blank, "/") + "/"})
			more := slices.Insert(slices.Clone(segments), n, "more")
			add(fmt.Sprintf("one more before segment %d", n), tokenRequest{method: "GET", target: "/" + strings.Join(more, "/") + "/"})
			dots := slices.Insert(slices.Clone(segments), n, "..")
			add(fmt.Sprintf("up before segment %d", n), tokenRequest{method: "GET", target: "/" + strings.Join(dots, "/") + "/"})
		}
		add("a slash within", tokenRequest{method: "GET", target: strings.Replace(good.target, "room-7", url.PathEscape("room/7"), 1)})
	}
	return list
}

// manyHeaders is a request with headers that do not matter.
func manyHeaders(e tokenEndpoint) tokenRequest {
	r := e.wellFormed()
	r.headers = append(slices.Clone(r.headers), "Accept: */*", "User-Agent: agora", "X-Forwarded-For: 192.0.2.1", "X-Request-Id: 1", "Accept-Encoding: gzip, br", "Cookie: a=b; c=d", "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	return r
}

// wrongHeaders are those that a careful server does not go past.
func wrongHeaders(e tokenEndpoint) (list []malformedToken) {
	good := e.wellFormed()
	length := fmt.Sprint(len(good.body))
	add := func(name string, r tokenRequest) { list = append(list, malformedToken{name, r}) }
	line := func(lines ...string) {
		r := good
		r.headers = append(slices.Clone(r.headers), lines...)
		add(strings.Join(lines, " and "), r)
	}
	for _, text := range []string{
		"X-A : b", ": b", "X-A", "X A: b", "X-A\x00: b", "X-A: b\x00c", "X-A: b\x01c", "X-Ä: b", "X-(A): b", "X@A: b", "X[A]: b", "X,A: b", "X\"A: b", "X/A: b", "X{A}: b", "X=A: b", "X\x7f: b", "X-A\t: b", "X-A: b\rc", "X-A: b\x7fc", "X-A\u00a0: b",
		"Expect: 100-perhaps", "Expect: 200-ok",
	} {
		line(text)
	}
	if e.media != "" {
		if !e.anyMedia {
			// A line that continues the media type.
			line(" X-A: b")
			line("\tX-A: b")
		}
		// Encodings that nobody asked for.
		for _, coding := range []string{"gzip", "br", "deflate", "zstd", "compress", "x-gzip", "gzip, gzip", "identity, gzip", "unknown"} {
			line("Content-Encoding: " + coding)
		}
		for _, text := range []string{
			"Content-Length: -1", "Content-Length: +" + length, "Content-Length: 0x10", "Content-Length: 1e2", "Content-Length: " + length + ".0", "Content-Length: " + length + "," + length + "1", "Content-Length: ", "Content-Length: x", "Content-Length: 99999999999999999999",
			"Content-Length: " + length + "\x00", "Content-Length: " + length + " 0", "Content-Length : " + length,
		} {
			r := good
			r.framed, r.ends = true, true
			r.headers = append(slices.Clone(r.headers), text)
			add(text, r)
		}
		r := good
		r.framed = true
		r.headers = append(slices.Clone(r.headers), "Content-Length: "+length, "Transfer-Encoding : chunked")
		r.body = chunks(good.body, 100) + "0\r\n\r\n"
		add("a length, and chunks with a space", r)
	}
	head := func(name, start, host string) {
		add(name, tokenRequest{raw: start + "\r\n" + host + "Connection: close\r\n" + strings.Join(good.headers, "\r\n") + "\r\nContent-Length: " + length + "\r\n\r\n" + good.body})
	}
	start := good.method + " " + good.target
	head("no Host", start+" HTTP/1.1", "")
	head("a Host with a space", start+" HTTP/1.1", "Host: local host\r\n")
	head("a Host with a slash", start+" HTTP/1.1", "Host: localhost/x\r\n")
	head("no version", start, "Host: $HOST\r\n")
	head("a version of its own", start+" HTTPS/1.1", "Host: $HOST\r\n")
	head("a version in small letters", start+" http/1.1", "Host: $HOST\r\n")
	head("a version without a dot", start+" HTTP/11", "Host: $HOST\r\n")
	head("two spaces", strings.Replace(start, " ", "  ", 1)+" HTTP/1.1", "Host: $HOST\r\n")
	head("a tab", strings.Replace(start, " ", "\t", 1)+" HTTP/1.1", "Host: $HOST\r\n")
	head("a space within", good.method+" "+strings.Replace(good.target, "/", "/ ", 1)+" HTTP/1.1", "Host: $HOST\r\n")
	head("a line that goes on", start+" HTTP/1.1 x", "Host: $HOST\r\n")
	return list
}
