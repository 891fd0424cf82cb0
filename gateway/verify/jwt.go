package verify

import (
	"errors"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/tidwall/gjson"

	"switchhook/gateway/verify/template"
)

// jwtCheck checks a JSON Web Token: RFC 7519. The algorithm is that of the scheme and no other.
type jwtCheck struct {
	r      *rule
	keys   keySet
	claims []boundClaim
	// keySet and url are set when the keys are fetched.
	keySet *Keys
	url    string
}

// boundClaim is a claim with the values it may have.
type boundClaim struct {
	name string
	// texts are strings, literals booleans and numbers in JSON, templates
	// are filled with the request.
	texts, literals []string
	templates       []*template.Template
}

// maxToken bounds the length of a token in bytes.
const maxToken = 16 << 10

// untimedFor is how long after its iat a token without exp is taken.
const untimedFor = 5 * time.Minute

func (b *binder) claims(r *rule) []boundClaim {
	var out []boundClaim
	for _, c := range r.claims {
		bound := boundClaim{name: c.name}
		for _, v := range c.values {
			switch {
			case v.literal != "":
				bound.literals = append(bound.literals, v.literal)
			case v.reference != nil:
				values, missing := b.values(v.reference)
				if missing && !v.reference.Optional {
					b.fail(v.reference, true, "%s is missing", v.reference)
				}
				bound.texts = append(bound.texts, values...)
			case v.text.Kinds()&^template.Parameter == 0:
				text, err := v.text.Text(&template.Source{Parameters: b.parameters})
				if err != nil {
					b.fail(nil, isAbsent(err), "%s", err)
				}
				bound.texts = append(bound.texts, text)
			default:
				bound.templates = append(bound.templates, v.text)
			}
		}
		if len(bound.texts)+len(bound.literals)+len(bound.templates) == 0 && len(b.errors) == 0 {
			b.fail(nil, true, "there is nothing to compare claim %s with", c.name)
		}
		out = append(out, bound)
	}
	return out
}

func (j *jwtCheck) verify(c *call) error {
	return c.eachItem(j.r.each, func() error {
		values, err := j.r.place.values(c.valueRoom[:0], c)
		if err != nil {
			return err
		}
		texts, err := j.r.candidates(c.candidateRoom[:0], values)
		if err != nil {
			return err
		}
		if len(values) > 1 {
			return rejected("%s stands there twice", &j.r.place)
		}
		return j.token(c, texts[0])
	})
}

func (j *jwtCheck) token(c *call, text string) error {
	if len(text) > maxToken {
		return rejected("the token is longer than %d bytes", maxToken)
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{j.r.method.Alg()}), jwt.WithLeeway(j.r.leeway), jwt.WithIssuedAt(),
		jwt.WithStrictDecoding(), jwt.WithJSONNumber(), jwt.WithTimeFunc(func() time.Time { return c.now }))
	claims := jwt.MapClaims{}
	_, err := parser.ParseWithClaims(text, claims, func(t *jwt.Token) (any, error) { return j.keysOf(c, t) })
	if err != nil {
		return j.why(err)
	}
	if err := j.age(c, claims); err != nil {
		return err
	}
	for i := range j.claims {
		if err := j.claims[i].check(c, claims); err != nil {
			return err
		}
	}
	if h := j.r.bodyHash; h != nil {
		hash, ok := claims[h.claim].(string)
		if !ok {
			return rejected("claim %s is missing", h.claim)
		}
		return h.compare(c, hash)
	}
	return nil
}

// keysOf are the keys that may have signed a token. Headers of the token that
// bring or name keys by address (jwk, jku, x5u) are not looked at.
func (j *jwtCheck) keysOf(c *call, t *jwt.Token) (any, error) {
	// RFC 7515, section 4.1.11: extensions that are not understood are refused.
	if _, critical := t.Header["crit"]; critical {
		return nil, rejected("the token has a \"crit\" header, which is not supported")
	}
	var set jwt.VerificationKeySet
	if j.url != "" {
		if j.keySet == nil {
			return nil, errNoKeys
		}
		kid, _ := t.Header["kid"].(string)
		found, err := j.keySet.named(c.ctx, j.url, kid, j.r.fits, c.now)
		for _, public := range found {
			set.Keys = append(set.Keys, public)
		}
		return set, err
	}
	keys, err := j.keys.get(c)
	if err != nil {
		return nil, err
	}
	for i := range keys {
		if keys[i].public != nil {
			set.Keys = append(set.Keys, keys[i].public)
		} else {
			set.Keys = append(set.Keys, keys[i].secret)
		}
	}
	return set, nil
}

// why makes a *Rejected of what the library found, or passes on our own errors.
func (j *jwtCheck) why(err error) error {
	if r, ok := errors.AsType[*Rejected](err); ok {
		return r
	}
	if u, ok := errors.AsType[*Unavailable](err); ok {
		return u
	}
	switch {
	case errors.Is(err, jwt.ErrTokenMalformed):
		return rejected("the token is not a well-formed JWT")
	case errors.Is(err, jwt.ErrTokenSignatureInvalid), errors.Is(err, jwt.ErrTokenUnverifiable):
		return rejected("the token is not signed with %s by a key that is known", j.r.method.Alg())
	case errors.Is(err, jwt.ErrTokenExpired):
		return rejected("the token has expired")
	case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return rejected("the token is not valid yet")
	}
	return rejected("the token's claims are not well formed")
}

// age checks iat where exp is absent or maxAge is set; the parser has checked
// the claims that are there.
func (j *jwtCheck) age(c *call, claims jwt.MapClaims) error {
	limit := j.r.maxAge
	if limit == 0 {
		if exp, err := claims.GetExpirationTime(); err == nil && exp != nil {
			return nil
		}
		limit = untimedFor
	}
	iat, err := claims.GetIssuedAt()
	if err != nil || iat == nil {
		return rejected("the token says neither when it expires (exp) nor when it was made (iat)")
	}
	if age := c.now.Sub(iat.Time); age > limit+j.r.leeway {
		return rejected("the token is %s old, the greatest age is %s", shortDuration(age), shortDuration(limit))
	}
	return nil
}

func (b *boundClaim) check(c *call, claims jwt.MapClaims) error {
	value, ok := claims[b.name]
	if !ok || value == nil {
		return rejected("claim %s is missing", b.name)
	}
	// A list, such as that of aud, needs one value that is right: RFC 7519, section 4.1.3.
	list, isList := value.([]any)
	if !isList {
		list = []any{value}
	}
	for _, v := range list {
		if ok, err := b.allows(c, v); ok || err != nil {
			return err
		}
	}
	return rejected("claim %s is not what it has to be", b.name)
}

func (b *boundClaim) allows(c *call, value any) (bool, error) {
	text, isText := value.(string)
	if !isText {
		for _, want := range b.literals {
			if v := gjson.Parse(want).Value(); v == value || want == jsonText(value) {
				return true, nil
			}
		}
		return false, nil
	}
	for _, want := range b.texts {
		if text == want {
			return true, nil
		}
	}
	for _, t := range b.templates {
		want, err := t.Text(&c.src)
		if err != nil {
			return false, rejectedBy(err)
		}
		if text == want {
			return true, nil
		}
	}
	return false, nil
}

// jsonText is a number as it was written; "" for other values.
func jsonText(value any) string {
	if n, ok := value.(interface{ String() string }); ok { // json.Number
		return n.String()
	}
	return ""
}
