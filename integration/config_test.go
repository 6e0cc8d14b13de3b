package integration

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddy-convoai/convoai/token"
)

// Credentials of the tests. appA and certificateA are the public ones of the
// vendor's own test vectors.
const (
	appA         = "970CA35de60c44645bbae8a215061b33"
	certificateA = "5CFd2fd1755d40ecb72977518be15d3b"
	appB         = "0123456789abcdef0123456789abcdef"
	certificateB = "fedcba9876543210fedcba9876543210"
)

// envA and envB are the environment of credentialsA and credentialsB.
var envA = []string{"A_ID=" + appA, "A_CERT=" + certificateA}

const credentialsA = `
	app_id          {env.A_ID}
	app_certificate {env.A_CERT}`

// global are the global options of nearly all tests.
const global = `{
	admin off
	persist_config off
}
`

// site is a Caddyfile with one site and one directive of the given
// subdirectives.
func site(subdirectives ...string) string {
	return global + siteAt("<PORT>", subdirectives...)
}

func siteAt(port string, subdirectives ...string) string {
	return fmt.Sprintf("http://:%s {\n\tbind 127.0.0.1\n\tconvoai {\n\t%s\n\t}\n}\n", port, strings.Join(subdirectives, "\n\t"))
}

// to are the subdirectives that send calls to TLS upstreams of the tests.
func to(upstreams ...*upstream) string {
	line := "upstream"
	for _, u := range upstreams {
		line += " https://127.0.0.1:" + u.port
	}
	return line + "\n\ttransport http {\n\t\ttls_trust_pool file <CA>\n\t}"
}

// toPlain is to for upstreams without TLS.
func toPlain(urls ...string) string { return "upstream " + strings.Join(urls, " ") }

// Paths of appA.
const (
	prefix     = "/api/conversational-ai-agent"
	projectA   = "/v2/projects/" + appA
	joinA      = prefix + projectA + "/join"
	listA      = prefix + projectA + "/agents"
	leaveA     = prefix + projectA + "/agents/agent-1/leave"
	updateA    = prefix + projectA + "/agents/agent-1/update"
	speakA     = prefix + projectA + "/agents/agent-1/speak"
	thinkA     = prefix + projectA + "/agents/agent-1/think"
	interruptA = prefix + projectA + "/agents/agent-1/interrupt"
	callA      = prefix + projectA + "/call"
)

// joinBody is a join for a channel and an agent.
func joinBody(channel, agent string) string {
	return fmt.Sprintf(`{"name":"agent of %s","properties":{"channel":%q,"token":"given","agent_rtc_uid":%q,"remote_rtc_uids":["*"]}}`, channel, channel, agent)
}

// preBuilt makes a token of appA that expires at a time.
func preBuilt(t *testing.T, expiresAt time.Time) string {
	t.Helper()
	return preBuiltFor(t, appA, expiresAt)
}

func preBuiltFor(t *testing.T, appID string, expiresAt time.Time) string {
	t.Helper()
	made, err := token.NewConvoAI(appID, "room", "1", 3600, 0)
	if err != nil {
		t.Fatal(err)
	}
	made.IssuedAt = uint32(expiresAt.Unix() - 3600)
	text, err := made.Sign(certificateA)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// basic is the value of a Basic Authorization header.
func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
}
