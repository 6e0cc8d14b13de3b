package legacy_test

import (
	"fmt"

	"github.com/caddy-convoai/convoai/token/legacy"
)

// An old token says nothing of its channel and user but their checksums: they
// have to be known to verify it.
func ExampleParseAccessToken() {
	s, err := legacy.BuildTokenWithUID("970CA35de60c44645bbae8a215061b33", "5CFd2fd1755d40ecb72977518be15d3b", "room-1", 1001, legacy.RolePublisher, 1700003600)
	if err != nil {
		fmt.Println(err)
		return
	}
	t, err := legacy.ParseAccessToken(s)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(t.Privileges[0].ID, t.Privileges[0].ExpiresAt)
	t.Channel, t.UID = "room-1", "1001"
	fmt.Println(t.Verify("5CFd2fd1755d40ecb72977518be15d3b"))
	// Output:
	// join channel 1700003600
	// <nil>
}

func ExampleParse() {
	for _, s := range []string{
		"1:970CA35de60c44645bbae8a215061b33:1514219634:82539e1f3973bcfe3f0d0c8993e6c051",
		"870588aad271ff47094eb622617e89d6b5b5a615970ca35de60c44645bbae8a215061b3314464554720383bbf5",
	} {
		t, err := legacy.Parse(s)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(t.Format())
	}
	// Output:
	// signaling
	// dynamic-key-1
}
