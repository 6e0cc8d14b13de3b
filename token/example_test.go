package token_test

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caddy-convoai/convoai/token"
)

const (
	appID          = "970CA35de60c44645bbae8a215061b33"
	appCertificate = "5CFd2fd1755d40ecb72977518be15d3b"
)

// A token for one Conversational AI call, as the vendor's SDKs build it.
func ExampleBuildConvoAIToken() {
	s, err := token.BuildConvoAIToken(appID, appCertificate, "room-1", "1001", 3600, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	header := "agora token=" + s
	fmt.Println(strings.HasPrefix(header, "agora token=007"))
	// Output: true
}

// With time and salt given, a token is the same each time.
func ExampleNewConvoAI() {
	t, err := token.NewConvoAI(appID, "room-1", "1001", 86400, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	t.IssuedAt, t.Salt = 1700000000, 12345678
	s, err := t.Sign(appCertificate)
	if err != nil {
		fmt.Println(err)
		return
	}
	parsed, err := token.Parse(s)
	fmt.Println(err, parsed.ExpiresAt().UTC())
	// Output: <nil> 2023-11-15 22:13:20 +0000 UTC
}

func ExampleParse() {
	s, err := token.BuildTokenWithUid(appID, appCertificate, "room-1", 1001, token.RoleSubscriber, 3600, 3600)
	if err != nil {
		fmt.Println(err)
		return
	}
	t, err := token.Parse(s)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, service := range t.Services {
		for _, p := range service.Privileges {
			fmt.Printf("%s: %q may %s in %q for %d s\n", service.Type, service.Account, token.PrivilegeName(service.Type, p.ID), service.Channel, p.Expire)
		}
	}
	fmt.Println("signature:", t.Verify(appCertificate))
	fmt.Println("in two hours:", errors.Is(t.CheckTime(time.Now().Add(2*time.Hour)), token.ErrExpired))
	// Output:
	// rtc: "1001" may join channel in "room-1" for 3600 s
	// signature: <nil>
	// in two hours: true
}

// Errors tell apart what a caller may want to answer differently.
func ExampleParse_errors() {
	for _, s := range []string{"", "eyJhbGciOiJIUzI1NiJ9.e30.c2ln", "006970CA35de60c44645bbae8a215061b33IAA", "007eJxT"} {
		_, err := token.Parse(s)
		switch {
		case errors.Is(err, token.ErrNotToken):
			fmt.Println("no Agora token")
		case errors.Is(err, token.ErrUnsupportedVersion):
			fmt.Println("an older token: see package legacy")
		case errors.Is(err, token.ErrCorrupt):
			fmt.Println("a damaged token")
		}
	}
	// Output:
	// no Agora token
	// no Agora token
	// an older token: see package legacy
	// a damaged token
}

// Any combination of services can be put into one token.
func ExampleToken_Sign() {
	t := &token.Token{
		AppID: appID, IssuedAt: 1700000000, Expire: 600, Salt: 1,
		Services: []token.Service{
			{Type: token.ServiceStreaming, Channel: "room-1", Account: "1001",
				Privileges: token.Privileges{{ID: token.PrivilegePublishMixStream, Expire: 600}}},
			{Type: token.ServiceChat, Account: "1001",
				Privileges: token.Privileges{{ID: token.PrivilegeChatUser, Expire: 600}}},
		},
	}
	s, err := t.Sign(appCertificate)
	fmt.Println(s[:3], err)
	// Output: 007 <nil>
}

func ExampleBuildTokenWithPermissions() {
	var p token.Permissions
	p.Add(token.ResourceMessageChannels, token.PermissionRead, "news", "room-1")
	p.Add(token.ResourceMessageChannels, token.PermissionWrite, "room-1")
	s, err := token.BuildTokenWithPermissions(appID, appCertificate, "1001", p, 3600)
	if err != nil {
		fmt.Println(err)
		return
	}
	t, _ := token.Parse(s)
	fmt.Println(t.Services[0].Permissions)
	// Output: [{message channels [{read [news room-1]} {write [room-1]}]}]
}

func ExampleReadSpec() {
	spec, err := token.ReadSpec(strings.NewReader(`{
		"app_id": "970CA35de60c44645bbae8a215061b33", "issued_at": 1700000000, "expire": 3600, "salt": 12345678,
		"services": [{"name": "rtm", "account": "1001", "privileges": {"1": 3600}}]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := spec.Token.Sign(appCertificate)
	fmt.Println(s[:3], err)
	// Output: 007 <nil>
}

func ExampleExpiresInHours() {
	seconds, capped, err := token.ExpiresInHours(36)
	fmt.Println(seconds, capped, err)
	_, _, err = token.ExpiresInHours(0)
	fmt.Println(err)
	// Output:
	// 86400 true <nil>
	// expires_in must be between 1 and 86400 seconds (24h)
}
