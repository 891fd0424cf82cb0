package verify

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strings"
)

// tokenCheck checks a shared token that is sent as it is.
type tokenCheck struct {
	r    *rule
	keys keySet
}

func (t *tokenCheck) verify(c *call) error {
	return c.eachItem(t.r.each, func() error {
		values, err := t.r.place.values(c.valueRoom[:0], c)
		if err != nil {
			return err
		}
		texts, err := t.r.candidates(c.candidateRoom[:0], values)
		if err != nil {
			return err
		}
		keys, err := t.keys.get(c)
		if err != nil {
			return err
		}
		// One token was sent or several alike; a wrong one among them is refused.
		for _, text := range texts {
			sum := sha256.Sum256([]byte(text))
			right := 0
			for i := range keys {
				right |= subtle.ConstantTimeCompare(sum[:], keys[i].sum[:])
			}
			if right == 0 {
				return rejected("%s is not what %s says", &t.r.place, t.r.secretNames())
			}
		}
		return nil
	})
}

// secretNames are the names of the rule's secrets, as they are written.
func (r *rule) secretNames() string {
	names := make([]string, len(r.secrets))
	for i, ref := range r.secrets {
		names[i] = ref.String()
	}
	return strings.Join(names, " or ")
}

// basicCheck checks a user name and password: RFC 7617.
type basicCheck struct {
	r                  *rule
	username, password credential
}

func (b *basicCheck) verify(c *call) error {
	value, err := authorization.values(c.valueRoom[:0], c)
	if err != nil {
		return err
	}
	if len(value) > 1 {
		return rejected("header Authorization stands there twice")
	}
	encoded, ok := cutPrefix(value[0], "Basic ")
	if !ok {
		return rejected("header Authorization is not of the Basic scheme")
	}
	text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return rejected("header Authorization is not well formed")
	}
	username, password, ok := strings.Cut(string(text), ":")
	if !ok {
		return rejected("header Authorization is not well formed")
	}
	wantUsername, wantPassword := b.username.read(c), b.password.read(c)
	if wantUsername == "" || wantPassword == "" {
		return rejected("the user name and password are not remembered yet")
	}
	if sameText(username, wantUsername)&sameText(password, wantPassword) != 1 {
		return rejected("the user name or the password is wrong")
	}
	return nil
}

var authorization = place{headers: []headerName{{name: "Authorization"}}}

// sameText compares in constant time; hashing keeps the length secret too.
func sameText(a, b string) int {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:])
}
