package token

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestSpecIsWrittenAsDocumented(t *testing.T) {
	tok := &Token{AppID: testAppID, IssuedAt: 1700000000, Expire: 3600, Salt: 12345678, Services: []Service{
		{Type: ServiceRTC, Channel: "room-1", Account: "<&>", Privileges: Privileges{{1, 3600}}},
		{Type: ServiceRTM, Account: "1001", Privileges: Privileges{{1, 3600}}},
		{Type: ServiceFPA, Privileges: Privileges{{1, 0}}},
		{Type: ServiceEducation, Account: "u", Role: -1, Privileges: Privileges{{2, 600}}},
		{Type: ServiceRTM2, Account: "u\xff", Privileges: Privileges{{1, 600}}, Permissions: Permissions{{0, []Permission{{0, []string{"a", "b"}}, {1, nil}}}}},
	}}
	const head = `{"version":"007","app_id":"970CA35de60c44645bbae8a215061b33","issued_at":1700000000,"expire":3600,"salt":12345678,"expires_at":1700003600,"signature":`
	const services = `,"services":[{"type":1,"name":"rtc","privileges":{"1":3600},"channel":"room-1","account":"<&>"},` +
		`{"type":2,"name":"rtm","privileges":{"1":3600},"account":"1001"},` +
		`{"type":4,"name":"fpa","privileges":{"1":0}},` +
		`{"type":7,"name":"education","privileges":{"2":600},"room":"","account":"u","role":-1},` +
		`{"type":8,"name":"rtm2","privileges":{"1":600},"account":{"hex":"75ff"},"permissions":{"0":{"0":["a","b"],"1":[]}}}]`
	for _, c := range []struct {
		status SignatureStatus
		want   string
	}{{"", `"unchecked"`}, {SignatureValid, `"valid"`}, {SignatureInvalid, `"invalid"`}} {
		got, err := Spec{Token: tok, Signature: c.status, AppCertificate: testCertificate}.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if want := head + c.want + services + "}"; string(got) != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		if !json.Valid(got) {
			t.Error("not valid JSON")
		}
	}
	tok.Unsorted = true
	tok.Unparsed = Unparsed{Services: 1, Data: []byte{9, 0}}
	got, err := Spec{Token: tok}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if want := head + `"unchecked","unsorted":true` + services + `,"unparsed":{"services":1,"data":"0900"}}`; string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if _, err := (Spec{}).MarshalJSON(); err == nil {
		t.Error("a spec without a token was written")
	}
}

func TestSpecIsReadBack(t *testing.T) {
	tok := full()
	tok.Services[0].Account = "\x00\xfe\"\\é\u2028\uFFFD"
	tok.Services[7].Permissions[0].Permissions[0].Names[1] = "\xff"
	tok.Unparsed = Unparsed{Services: 1, Data: []byte{9, 0}}
	spec, err := ReadSpec(strings.NewReader(shown(t, tok)))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := shown(t, spec.Token), shown(t, tok); got != want {
		t.Errorf("read\n%s\nwant\n%s", got, want)
	}
	if spec.AppCertificate != "" {
		t.Error("a certificate from nowhere")
	}
}

// minimal is a spec with further members in front of its end.
func minimal(more string) string {
	return `{"app_id":"` + testAppID + `","expire":60,"services":[{"type":1}]` + more + `}`
}

func TestSpecDefaults(t *testing.T) {
	spec, err := ReadSpec(strings.NewReader(minimal(`,"app_certificate":"` + testCertificate + `","expires_at":"whatever","signature":7`)))
	if err != nil {
		t.Fatal(err)
	}
	if spec.AppCertificate != testCertificate {
		t.Error("certificate not read")
	}
	if at := time.Unix(int64(spec.Token.IssuedAt), 0); time.Since(at) > time.Minute || time.Until(at) > time.Minute {
		t.Errorf("issued at %s", at)
	}
	spec, err = ReadSpec(strings.NewReader(`{"version":"007","app_id":"` + testAppID + `","issued_at":0,"salt":0,"expire":4294967295,"services":[{"name":"education"},{"name":"rtc","type":1}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if tok := spec.Token; tok.IssuedAt != 0 || tok.Salt != 0 || tok.Expire != 4294967295 || tok.Services[0].Type != ServiceEducation || tok.Services[0].Role != -1 || tok.Services[1].Type != ServiceRTC {
		t.Errorf("%+v", tok)
	}
}

func TestSpecsThatAreRefused(t *testing.T) {
	service := func(s string) string {
		return `{"app_id":"` + testAppID + `","expire":60,"services":[` + s + `]}`
	}
	for name, c := range map[string]struct{ spec, want string }{
		"empty":             {"", "not valid JSON"},
		"text":              {"007eJx", "not valid JSON in line 1"},
		"third line":        {"{\n\n!", "line 3"},
		"array":             {"[]", "must be an object"},
		"null":              {"null", "must be an object"},
		"behind":            {minimal("") + "{}", "not valid JSON"},
		"not UTF-8":         {minimal(`,"signature":"` + "\xff" + `"`), "not valid UTF-8"},
		"half a pair":       {service(`{"type":2,"account":"\ud800"}`), "account is not valid Unicode"},
		"unknown":           {minimal(`,"channel":"c"`), `unknown member "channel"`},
		"case":              {minimal(`,"Salt":1`), `unknown member "Salt"`},
		"twice":             {minimal(`,"expire":61`), `"expire" is there twice`},
		"no app ID":         {`{"expire":60,"services":[]}`, `"app_id" is missing`},
		"no expire":         {`{"app_id":"` + testAppID + `","services":[]}`, `"expire" is missing`},
		"no services":       {`{"app_id":"` + testAppID + `","expire":60}`, `"services" is missing`},
		"version":           {minimal(`,"version":"006"`), `unsupported token version "006"`},
		"version number":    {minimal(`,"version":7`), "version must be a string"},
		"app ID":            {`{"app_id":"1234"}`, ErrAppID.Error()},
		"app ID null":       {`{"app_id":null}`, "app_id must be a string"},
		"certificate":       {minimal(`,"app_certificate":"1234"`), ErrAppCertificate.Error()},
		"certificate type":  {minimal(`,"app_certificate":1234`), "app_certificate must be a string"},
		"salt text":         {minimal(`,"salt":"1"`), "salt must be a whole number from 0 to 4294967295"},
		"salt negative":     {minimal(`,"salt":-1`), "salt must be"},
		"salt large":        {minimal(`,"salt":4294967296`), "salt must be"},
		"salt fraction":     {minimal(`,"salt":1.5`), "salt must be"},
		"salt exponent":     {minimal(`,"salt":1e3`), "salt must be"},
		"salt null":         {minimal(`,"salt":null`), "salt must be"},
		"issued_at":         {minimal(`,"issued_at":true`), "issued_at must be"},
		"unsorted":          {minimal(`,"unsorted":1`), "unsorted must be true or false"},
		"services type":     {minimal(`,"unparsed":[]`), "unparsed must be an object"},
		"unparsed member":   {minimal(`,"unparsed":{"x":1}`), `unknown member "unparsed x"`},
		"unparsed count":    {minimal(`,"unparsed":{"services":1025}`), "unparsed services must be"},
		"unparsed data":     {minimal(`,"unparsed":{"data":"0"}`), "unparsed data must be hexadecimal"},
		"unparsed type":     {minimal(`,"unparsed":{"data":0}`), "unparsed data must be a string"},
		"services object":   {`{"services":{}}`, "services must be an array"},
		"services null":     {`{"services":null}`, "services must be an array"},
		"many services":     {`{"services":[` + strings.Repeat("1,", maxServices) + `1]}`, "more than 1024"},
		"service":           {service(`1`), "service 1: it must be an object"},
		"second service":    {service(`{"type":1},{}`), `service 2: "type" is missing`},
		"type 0":            {service(`{"type":0}`), "type must be a whole number from 1 to 8"},
		"type 9":            {service(`{"type":9}`), "type must be a whole number from 1 to 8"},
		"name":              {service(`{"name":"RTC"}`), `unknown service name "RTC"`},
		"name type":         {service(`{"name":1}`), "name must be a string"},
		"type and name":     {service(`{"type":1,"name":"rtm"}`), "type 1 is rtc, not rtm"},
		"foreign channel":   {service(`{"type":2,"channel":"c"}`), `unknown member "channel" for rtm`},
		"foreign account":   {service(`{"type":4,"account":"c"}`), `unknown member "account" for fpa`},
		"foreign room":      {service(`{"type":1,"room":"c"}`), `unknown member "room" for rtc`},
		"foreign role":      {service(`{"type":1,"role":1}`), `unknown member "role" for rtc`},
		"foreign perms":     {service(`{"type":2,"permissions":{}}`), `unknown member "permissions" for rtm`},
		"role large":        {service(`{"type":7,"role":32768}`), "role must be"},
		"role small":        {service(`{"type":7,"role":-32769}`), "role must be"},
		"channel number":    {service(`{"type":1,"channel":1}`), "channel must be a string"},
		"channel object":    {service(`{"type":1,"channel":{"x":"00"}}`), `channel must be a string or {"hex"`},
		"channel hex":       {service(`{"type":1,"channel":{"hex":"0"}}`), "channel must be hexadecimal"},
		"privileges":        {service(`{"type":1,"privileges":[]}`), "privileges must be an object"},
		"privilege name":    {service(`{"type":1,"privileges":{"join":1}}`), `privileges: "join" must be a number`},
		"privilege zero":    {service(`{"type":1,"privileges":{"01":1}}`), `privileges: "01" must be a number`},
		"privilege large":   {service(`{"type":1,"privileges":{"65536":1}}`), `privileges: "65536"`},
		"privilege twice":   {service(`{"type":1,"privileges":{"1":1,"1":1}}`), "there twice"},
		"privilege value":   {service(`{"type":1,"privileges":{"1":"1"}}`), "privilege 1 must be"},
		"permissions":       {service(`{"type":8,"permissions":1}`), "permissions must be an object"},
		"resource":          {service(`{"type":8,"permissions":{"x":{}}}`), `permissions: "x"`},
		"resource value":    {service(`{"type":8,"permissions":{"0":1}}`), "permissions of resource 0 must be an object"},
		"permission":        {service(`{"type":8,"permissions":{"0":{"-1":[]}}}`), `permissions: "-1"`},
		"permission value":  {service(`{"type":8,"permissions":{"0":{"0":"a"}}}`), "permission 0 must be an array"},
		"permission name":   {service(`{"type":8,"permissions":{"0":{"0":[1]}}}`), "permission name must be a string"},
		"much too large":    {strings.Repeat(" ", MaxSpec) + minimal(""), "larger than"},
		"certificate shown": {`{"app_certificate":"` + testCertificate + `",}`, "line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			spec, err := ReadSpec(strings.NewReader(c.spec))
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "spec: ") {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if spec != nil {
				t.Error("a spec beside the error")
			}
			if strings.Contains(err.Error(), testCertificate) {
				t.Error("the error shows the certificate")
			}
		})
	}
	if _, err := ReadSpec(iotest.ErrReader(io.ErrClosedPipe)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("broken reader: %v", err)
	}
	if _, err := ReadSpec(strings.NewReader(minimal(strings.Repeat(" ", MaxSpec-len(minimal("")))))); err != nil {
		t.Errorf("as large as allowed: %v", err)
	}
}
