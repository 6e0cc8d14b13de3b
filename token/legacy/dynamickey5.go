package legacy

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/caddy-convoai/convoai/token"
	"github.com/caddy-convoai/convoai/token/internal/wire"
)

// ExtraAllowUpload is the key of an in-channel permission, with the values
// AllowUploadNone and AllowUploadAudioVideo.
const (
	ExtraAllowUpload uint16 = 1

	AllowUploadNone       = "0"
	AllowUploadAudioVideo = "3"
)

// Extra is one additional value of a DynamicKey 5.
type Extra struct {
	Key   uint16
	Value string
}

// maxKey5 is the longest DynamicKey 5 that is looked at.
const maxKey5 = 64 << 10

const rawIDLength = 16

func (k *DynamicKey) check5() error {
	if len(k.Channel) > wire.MaxString {
		return fmt.Errorf("%w: channel has more than %d bytes", token.ErrTooLarge, wire.MaxString)
	}
	size := 0
	for i, e := range k.Extra {
		if size += len(e.Value); size > maxKey5/2 {
			return fmt.Errorf("%w: extra values", token.ErrTooLarge)
		}
		if i > 0 && e.Key <= k.Extra[i-1].Key {
			return fmt.Errorf("extra keys must be in ascending order, each once")
		}
	}
	if len(k.Extra) > maxKey5/16 {
		return fmt.Errorf("%w: extra values", token.ErrTooLarge)
	}
	return nil
}

func (k *DynamicKey) appendExtra(b []byte) []byte {
	b = wire.AppendUint16(b, uint16(len(k.Extra)))
	for _, e := range k.Extra {
		b = wire.AppendUint16(b, e.Key)
		b = wire.AppendString(b, e.Value)
	}
	return b
}

// rawID returns the 16 bytes that a valid ID stands for.
func rawID(id string) string {
	b, _ := hex.DecodeString(id)
	return string(b)
}

// sign5 differs from the older versions: the key is the certificate's 16
// bytes, and the result has upper-case digits.
func (k *DynamicKey) sign5(appCertificate string) string {
	b := wire.AppendUint16(nil, uint16(k.Service))
	b = wire.AppendString(b, rawID(k.AppID))
	b = wire.AppendUint32(b, k.IssuedAt)
	b = wire.AppendUint32(b, k.Salt)
	b = wire.AppendString(b, k.Channel)
	b = wire.AppendUint32(b, k.UID)
	b = wire.AppendUint32(b, k.ExpiresAt)
	b = k.appendExtra(b)
	return strings.ToUpper(hex.EncodeToString(mac(sha1.New, []byte(rawID(appCertificate)), string(b))))
}

func (k *DynamicKey) pack5(signature string) string {
	b := wire.AppendUint16(nil, uint16(k.Service))
	b = wire.AppendString(b, signature)
	b = wire.AppendString(b, rawID(k.AppID))
	b = wire.AppendUint32(b, k.IssuedAt)
	b = wire.AppendUint32(b, k.Salt)
	b = wire.AppendUint32(b, k.ExpiresAt)
	b = k.appendExtra(b)
	return "005" + base64.StdEncoding.EncodeToString(b)
}

func parseKey5(s string) (*DynamicKey, error) {
	if len(s) > maxKey5 {
		return nil, corrupt("longer than a key can be")
	}
	content, err := decodeBase64(s[3:])
	if err != nil {
		return nil, err
	}
	r := wire.NewReader(content)
	k := &DynamicKey{Version: 5, Service: Service(r.Uint16()), signature: r.String()}
	id := r.String()
	k.AppID = hex.EncodeToString([]byte(id))
	k.IssuedAt, k.Salt, k.ExpiresAt = r.Uint32(), r.Uint32(), r.Uint32()
	for range r.Uint16() {
		if r.Err() != nil {
			break
		}
		k.Extra = append(k.Extra, Extra{r.Uint16(), r.String()})
	}
	switch {
	case r.Err() != nil:
		return nil, corrupt("content ends early")
	case r.Len() > 0:
		return nil, corrupt("data behind its end")
	case len(id) != rawIDLength:
		return nil, corrupt("its app ID is not 16 bytes")
	case len(k.signature) != signatureDigits || !lowerHex(strings.ToLower(k.signature)) || strings.ToUpper(k.signature) != k.signature:
		return nil, corrupt("its signature is not one")
	}
	if err := k.check5(); err != nil {
		return nil, corrupt("%v", err)
	}
	return k, nil
}

// AllowUpload returns the value of an in-channel permission, and whether there
// is one.
func (k *DynamicKey) AllowUpload() (value string, ok bool) {
	for _, e := range k.Extra {
		if e.Key == ExtraAllowUpload {
			return e.Value, true
		}
	}
	return "", false
}
