package destination

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
)

// sign returns the signatures with all secrets, as a webhook-signature field: what the Standard Webhooks
// library for Go returns, space between them. The library makes two copies of the payload first,
// which costs three times what the HMAC does, and takes it in no other way; the tests
// hold both against each other.
func sign(secrets []string, id, timestamp string, body []byte) (string, error) {
	list := make([]byte, 0, len(secrets)*len(" v1,")+len(secrets)*base64.StdEncoding.EncodedLen(sha256.Size))
	for i, secret := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil {
			return "", fmt.Errorf("secret %d of the destination is not whsec_ and base64", i+1)
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + timestamp + "."))
		mac.Write(body)
		if i > 0 {
			list = append(list, ' ')
		}
		list = base64.StdEncoding.AppendEncode(append(list, "v1,"...), mac.Sum(nil))
	}
	return string(list), nil
}
