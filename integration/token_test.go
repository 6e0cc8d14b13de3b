package integration

import (
	"encoding/json"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/AgoraIO-Community/go-tokenbuilder/accesstoken2"
)

// decoded is what an implementation that is not ours reads in a token.
type decoded struct {
	AppID    string `json:"app_id"`
	IssuedAt int64  `json:"issued_at"`
	Expire   int64  `json:"expire"`
	Signed   bool   `json:"signed"` // with the certificate
	Services []struct {
		Type       int              `json:"type"`
		Privileges map[string]int64 `json:"privileges"`
		Names      []string         `json:"names"` // channel, account
	} `json:"services"`
}

// decoder reads tokens, one per line behind their certificates, by the vendor's
// published layout with nothing but Python's standard library.
const decoder = `
import base64, hashlib, hmac, json, struct, sys, zlib

class Reader:
    def __init__(self, data): self.data, self.at = data, 0
    def number(self, form):
        value, = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return value
    def string(self):
        n = self.number('<H')
        self.at += n
        return self.data[self.at - n:self.at]

mac = lambda key, message: hmac.new(key, message, hashlib.sha256).digest()

for line in sys.stdin:
    certificate, token = line.split()
    assert token[:3] == '007'
    r = Reader(zlib.decompress(base64.b64decode(token[3:], validate=True)))
    signature = r.string()
    content = r.data[r.at:]
    app_id, issued_at, expire, salt = r.string().decode(), r.number('<I'), r.number('<I'), r.number('<I')
    services = []
    for _ in range(r.number('<H')):
        kind = r.number('<H')
        privileges = {}
        for _ in range(r.number('<H')):
            key = r.number('<H')
            privileges[key] = r.number('<I')
        names = [r.string().decode() for _ in range({1: 2, 2: 1}[kind])]
        services.append({'type': kind, 'privileges': privileges, 'names': names})
    assert r.at == len(r.data)
    key = mac(struct.pack('<I', salt), mac(struct.pack('<I', issued_at), certificate.encode()))
    print(json.dumps({'app_id': app_id, 'issued_at': issued_at, 'expire': expire,
                      'signed': mac(key, content) == signature, 'services': services}))
`

// decode reads tokens with Python.
func decode(t *testing.T, certificate string, tokens ...string) []decoded {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed: the signature cannot be checked by an implementation that is not ours")
	}
	var input strings.Builder
	for _, token := range tokens {
		input.WriteString(certificate + " " + token + "\n")
	}
	cmd := exec.Command(python, "-c", decoder)
	cmd.Stdin = strings.NewReader(input.String())
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("python3 cannot read the tokens: %v", err) // its message may hold a token
	}
	var list []decoded
	for decode := json.NewDecoder(strings.NewReader(string(out))); decode.More(); {
		var one decoded
		if err := decode.Decode(&one); err != nil {
			t.Fatal(err)
		}
		list = append(list, one)
	}
	if len(list) != len(tokens) {
		t.Fatalf("python3 read %d of %d tokens", len(list), len(tokens))
	}
	return list
}

// checkToken checks that token is the vendor's ConvoAI token for a channel and
// an account, and lives for a day.
func checkToken(t *testing.T, token, appID, certificate, channel, account string) {
	t.Helper()
	got := decode(t, certificate, token)[0]
	if !got.Signed {
		t.Error("the signature is not that of the certificate")
	}
	if got.AppID != appID || got.Expire != 86400 {
		t.Errorf("token of app %s for %d s, want %s for 86400 s", got.AppID, got.Expire, appID)
	}
	all := map[string]int64{"1": 86400, "2": 86400, "3": 86400, "4": 86400}
	login := map[string]int64{"1": 86400}
	if len(got.Services) != 2 ||
		got.Services[0].Type != 1 || !reflect.DeepEqual(got.Services[0].Names, []string{channel, account}) || !reflect.DeepEqual(got.Services[0].Privileges, all) ||
		got.Services[1].Type != 2 || !reflect.DeepEqual(got.Services[1].Names, []string{account}) || !reflect.DeepEqual(got.Services[1].Privileges, login) {
		t.Errorf("services %+v, want RTC(%s, %s) with privileges 1 to 4 and RTM(%s)", got.Services, channel, account, account)
	}

	other := accesstoken2.CreateAccessToken()
	if ok, err := other.Parse(token); !ok || err != nil {
		t.Fatalf("go-tokenbuilder does not parse the token: %v", err)
	}
	rtc, _ := other.Services[accesstoken2.ServiceTypeRtc].(*accesstoken2.ServiceRtc)
	rtm, _ := other.Services[accesstoken2.ServiceTypeRtm].(*accesstoken2.ServiceRtm)
	if rtc == nil || rtm == nil || rtc.ChannelName != channel || rtc.Uid != account || rtm.UserId != account {
		t.Errorf("go-tokenbuilder reads %+v and %+v", rtc, rtm)
	}
}
