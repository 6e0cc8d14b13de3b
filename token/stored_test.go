package token_test

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/caddy-convoai/convoai/token"
)

// contentOf inflates a token with the standard library.
func contentOf(t *testing.T, text string) []byte {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, token.Version))
	if err != nil {
		t.Fatal(err)
	}
	r, err := zlib.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// A token that is stored says what the same token says that is compressed, also
// where it takes several blocks of at most 65535 bytes.
func TestSignStoredDiffersFromSignInCompressionAlone(t *testing.T) {
	const certificate = "5CFd2fd1755d40ecb72977518be15d3b"
	usual, err := token.NewConvoAI("970CA35de60c44645bbae8a215061b33", "room-1", "1001", 3600, 0)
	if err != nil {
		t.Fatal(err)
	}
	sized := func(names, length int) *token.Token {
		list := make([]string, names)
		for i := range list {
			list[i] = strings.Repeat("x", length)
		}
		var permissions token.Permissions
		permissions.Add(token.ResourceMessageChannels, token.PermissionRead, list...)
		large, err := token.NewTokenWithPermissions("970CA35de60c44645bbae8a215061b33", "u", permissions, 3600)
		if err != nil {
			t.Fatal(err)
		}
		return large
	}
	for _, test := range []struct {
		name  string
		token *token.Token
	}{{"RTC and RTM", usual}, {"several blocks", sized(10, 20_000)}, {"about one block", sized(1, 65_535-200)}, {"a little more than one block", sized(1, 65_535)}} {
		t.Run(test.name, func(t *testing.T) {
			compressed, err := test.token.Sign(certificate)
			if err != nil {
				t.Fatal(err)
			}
			stored, err := test.token.SignStored(certificate)
			if err != nil {
				t.Fatal(err)
			}
			if stored == compressed || !bytes.Equal(contentOf(t, stored), contentOf(t, compressed)) {
				t.Error("not the same content in another form")
			}
			parsed, err := token.Parse(stored)
			if err != nil || parsed.Verify(certificate) != nil || !reflect.DeepEqual(parsed.Services, test.token.Services) {
				t.Errorf("not read back: %v", err)
			}
		})
	}
}

func TestSignStoredRefusesWhatSignRefuses(t *testing.T) {
	if _, err := new(token.Token).SignStored("x"); err == nil {
		t.Error("a token without anything was signed")
	}
}
