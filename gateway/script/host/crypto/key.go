package crypto

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/subtle"
	"encoding/pem"
	"errors"
	"math/big"

	"github.com/dop251/goja"

	"switchhook/gateway/script/host/bridge"
	"switchhook/gateway/script/host/buffer"
	"switchhook/gateway/script/host/codec"
	"switchhook/gateway/script/host/keys"
)

// keyState is behind a KeyObject: a secret, or an asymmetric key.
type keyState struct {
	secret     []byte
	asymmetric *keys.Key
}

func (k *keyState) kind() string {
	switch {
	case k.asymmetric == nil:
		return "secret"
	case k.asymmetric.Private != nil:
		return "private"
	}
	return "public"
}

// keyClass is KeyObject.
var keyClass = &bridge.Class{
	Name: "KeyObject",
	Accessors: map[string]bridge.Accessor{
		"type": {Get: func(b *bridge.Bridge, s any) goja.Value { return b.String(s.(*keyState).kind()) }},
		"symmetricKeySize": {Get: func(b *bridge.Bridge, s any) goja.Value {
			if k := s.(*keyState); k.asymmetric == nil {
				return b.RT.ToValue(len(k.secret))
			}
			return goja.Undefined()
		}},
		"asymmetricKeyType": {Get: func(b *bridge.Bridge, s any) goja.Value {
			if k := s.(*keyState); k.asymmetric != nil {
				return b.String(k.asymmetric.Type())
			}
			return goja.Undefined()
		}},
		"asymmetricKeyDetails": {Get: func(b *bridge.Bridge, s any) goja.Value {
			k := s.(*keyState)
			if k.asymmetric == nil {
				return goja.Undefined()
			}
			if p, ok := k.asymmetric.Public.(*rsa.PublicKey); ok {
				return b.Object("modulusLength", p.N.BitLen(), "publicExponent", big.NewInt(int64(p.E)))
			}
			if curve := k.asymmetric.Curve(); curve != "" {
				return b.Object("namedCurve", curve)
			}
			return b.Object()
		}},
	},
	Methods: bridge.Members{
		"export": bridge.Method(1, exportKey),
		"equals": bridge.Method(1, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
			k := bridge.This[*keyState](b, call, "KeyObject")
			other, ok := bridge.State[*keyState](b, call.Argument(0))
			if !ok {
				b.BadType("otherKeyObject", "an instance of KeyObject", call.Argument(0))
			}
			if k.asymmetric == nil || other.asymmetric == nil {
				same := k.asymmetric == nil && other.asymmetric == nil && subtle.ConstantTimeCompare(k.secret, other.secret) == 1
				return b.RT.ToValue(same)
			}
			return b.RT.ToValue(k.asymmetric.Equal(other.asymmetric))
		}),
	},
}

// throwKey throws an error of package keys.
func throwKey(b *bridge.Bridge, err error) {
	var known *keys.Error
	if !errors.As(err, &known) {
		b.Error("ERR_CRYPTO_OPERATION_FAILED", "%v", err)
	}
	class := "Error"
	if known.Argument {
		class = "TypeError"
	}
	b.Throw(class, known.Code, "%s", known.Message)
}

func createSecretKey(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	v := call.Argument(0)
	if s, ok := v.(goja.String); ok {
		e, _ := b.Encoding(call.Argument(1))
		return b.Wrap(keyClass, &keyState{secret: bytes.Clone(b.StringBytes(s, e))})
	}
	data, ok := b.BufferSource(v)
	if !ok {
		b.BadType("key", "an instance of ArrayBuffer, Buffer, TypedArray, or DataView", v)
	}
	b.Limit(len(data), bridge.MaxBytes, "bytes")
	return b.Wrap(keyClass, &keyState{secret: bytes.Clone(data)})
}

func createPublicKey(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	v := call.Argument(0)
	if k, ok := bridge.State[*keyState](b, v); ok {
		if kind := k.kind(); kind != "private" {
			b.TypeError("ERR_CRYPTO_INVALID_KEY_OBJECT_TYPE", "Invalid key object type %s, expected private.", kind)
		}
		return b.Wrap(keyClass, &keyState{asymmetric: k.asymmetric.PublicOnly()})
	}
	return b.Wrap(keyClass, &keyState{asymmetric: readKey(b, v, false).PublicOnly()})
}

func createPrivateKey(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	v := call.Argument(0)
	if _, ok := bridge.State[*keyState](b, v); ok {
		b.BadType("key", "of type string or an instance of ArrayBuffer, Buffer, TypedArray, or DataView", v)
	}
	return b.Wrap(keyClass, &keyState{asymmetric: readKey(b, v, true)})
}

const keyTypes = "of type string or an instance of ArrayBuffer, Buffer, TypedArray, DataView, KeyObject, or CryptoKey"

// readKey reads an asymmetric key in any of the ways in which Node takes one. With private it must be a
// private one; otherwise a private one will do, too.
func readKey(b *bridge.Bridge, v goja.Value, private bool) *keys.Key {
	if k, ok := bridge.State[*keyState](b, v); ok {
		return k.check(b, private)
	}
	if data, ok := keyText(b, v, goja.Undefined()); ok {
		return parsed(b)(keys.ParsePEM(data, private))
	}
	o, ok := v.(*goja.Object)
	if !ok {
		b.BadType("key", keyTypes, v)
	}
	inner := bridge.Property(o, "key")
	if k, ok := bridge.State[*keyState](b, inner); ok {
		return k.check(b, private)
	}
	format := bridge.Property(o, "format")
	if goja.IsString(format) && format.String() == "jwk" {
		return readJWK(b, inner, private)
	}
	data, ok := keyText(b, inner, bridge.Property(o, "encoding"))
	if !ok {
		b.BadType("key.key", keyTypes, inner)
	}
	switch {
	case goja.IsUndefined(format) || goja.IsString(format) && format.String() == "pem":
		return parsed(b)(keys.ParsePEM(data, private))
	case !goja.IsString(format) || format.String() != "der":
		b.BadValue("options.format", format)
	}
	kind := bridge.Property(o, "type")
	switch {
	case !goja.IsString(kind):
	case kind.String() == "spki" && !private:
		return parsed(b)(keys.ParsePublicDER(data, "spki"))
	case kind.String() == "pkcs1" && !private:
		return parsed(b)(keys.ParsePublicDER(data, "pkcs1"))
	case kind.String() == "pkcs1" || kind.String() == "pkcs8" || kind.String() == "sec1":
		return parsed(b)(keys.ParsePrivateDER(data, kind.String()))
	}
	b.BadValue("options.type", kind)
	return nil
}

// check returns the key if it is of a kind that will do.
func (k *keyState) check(b *bridge.Bridge, private bool) *keys.Key {
	switch {
	case k.asymmetric == nil && !private:
		b.TypeError("ERR_CRYPTO_INVALID_KEY_OBJECT_TYPE", "Invalid key object type secret, expected private or public.")
	case private && (k.asymmetric == nil || k.asymmetric.Private == nil):
		b.TypeError("ERR_CRYPTO_INVALID_KEY_OBJECT_TYPE", "Invalid key object type %s, expected private.", k.kind())
	}
	return k.asymmetric
}

func keyText(b *bridge.Bridge, v, encoding goja.Value) ([]byte, bool) {
	if s, ok := v.(goja.String); ok {
		e, _ := b.Encoding(encoding)
		return b.StringBytes(s, e), true
	}
	return b.BufferSource(v)
}

// parsed throws the error of a parser.
func parsed(b *bridge.Bridge) func(*keys.Key, error) *keys.Key {
	return func(k *keys.Key, err error) *keys.Key {
		if err != nil {
			throwKey(b, err)
		}
		return k
	}
}

func readJWK(b *bridge.Bridge, v goja.Value, private bool) *keys.Key {
	o, ok := v.(*goja.Object)
	if !ok {
		b.BadType("key.key", "of type object", v)
	}
	oneOf := func(name string, values ...string) string {
		member := bridge.Property(o, name)
		list := ""
		for i, allowed := range values {
			if goja.IsString(member) && member.String() == allowed {
				return allowed
			}
			if i > 0 {
				list += ", "
			}
			list += "'" + allowed + "'"
		}
		b.TypeError("ERR_INVALID_ARG_VALUE", "The property 'key.%s' must be one of: %s. Received %s", name, list, b.Inspect(member))
		return ""
	}
	jwk := map[string]string{"kty": oneOf("kty", "RSA", "EC", "OKP")}
	var wanted, secrets []string
	switch jwk["kty"] {
	case "RSA":
		wanted, secrets = []string{"n", "e"}, []string{"d", "p", "q", "dp", "dq", "qi"}
	case "EC":
		jwk["crv"] = oneOf("crv", "P-256", "secp256k1", "P-384", "P-521")
		wanted, secrets = []string{"x", "y"}, []string{"d"}
	default:
		jwk["crv"] = oneOf("crv", "Ed25519", "Ed448", "X25519", "X448")
		wanted, secrets = []string{"x"}, []string{"d"}
	}
	if private {
		wanted = append(wanted, secrets...)
	}
	for _, name := range wanted {
		member := bridge.Property(o, name)
		if !goja.IsString(member) {
			b.BadType("key."+name, "of type string", member)
		}
		jwk[name] = member.String()
	}
	return parsed(b)(keys.ParseJWK(jwk, private))
}

func exportKey(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	k := bridge.This[*keyState](b, call, "KeyObject")
	options := call.Argument(0)
	o, isObject := options.(*goja.Object)
	format := bridge.Property(options, "format")
	named := func(v goja.Value, name string) bool { return goja.IsString(v) && v.String() == name }
	if k.asymmetric == nil {
		if !isObject && !goja.IsUndefined(options) {
			b.BadType("options", "of type object", options)
		}
		switch {
		case named(format, "jwk"):
			return b.Object("kty", "oct", "k", codec.Encode(k.secret, codec.Base64URL))
		case goja.IsUndefined(format) || named(format, "buffer"):
			return buffer.New(b, bytes.Clone(k.secret))
		}
		b.TypeError("ERR_INVALID_ARG_VALUE", "The property 'options.format' must be one of: undefined, 'buffer', 'jwk'. Received %s", b.Inspect(format))
	}
	if !isObject {
		b.BadType("options", "of type object", options)
	}
	if named(format, "jwk") {
		members, err := k.asymmetric.JWK()
		if err != nil {
			throwKey(b, err)
		}
		jwk := b.Object()
		for _, m := range members {
			_ = jwk.Set(m.Name, m.Value)
		}
		return jwk
	}
	if !named(format, "pem") && !named(format, "der") {
		b.BadValue("options.format", format)
	}
	if !bridge.IsNullish(bridge.Property(o, "cipher")) {
		b.Error("ERR_FEATURE_UNAVAILABLE_ON_PLATFORM", "private keys cannot be exported encrypted here")
	}
	kind := bridge.Property(o, "type")
	allowed := []string{"spki", "pkcs1"}
	if k.asymmetric.Private != nil {
		allowed = []string{"pkcs8", "pkcs1", "sec1"}
	}
	known := false
	for _, name := range allowed {
		known = known || named(kind, name)
	}
	if !known {
		b.BadValue("options.type", kind)
	}
	der, label, err := k.asymmetric.Marshal(kind.String())
	if err != nil {
		throwKey(b, err)
	}
	if named(format, "der") {
		return buffer.New(b, der)
	}
	return b.String(string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der})))
}

// signsMessages says whether the key signs messages and not digests of them.
func signsMessages(k *keys.Key) bool {
	_, ok := k.Public.(ed25519.PublicKey)
	return ok
}
