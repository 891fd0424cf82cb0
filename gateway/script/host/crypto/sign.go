package crypto

import (
	"errors"
	"hash"

	"github.com/dop251/goja"

	"switchhook/gateway/script/host/bridge"
	"switchhook/gateway/script/host/keys"
)

// signing is behind a Sign or a Verify.
type signing struct {
	digest *digest
	h      hash.Hash
	done   bool
}

var signClass = &bridge.Class{Name: "Sign", Methods: bridge.Members{
	"update": bridge.Method(2, updateSigning),
	"sign": bridge.Method(2, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
		s := bridge.This[*signing](b, call, "Sign")
		if bridge.IsNullish(call.Argument(0)) {
			b.Error("ERR_CRYPTO_SIGN_KEY_REQUIRED", "No key provided to sign")
		}
		k := readKey(b, call.Argument(0), true)
		scheme := readScheme(b, call.Argument(0))
		return output(b, sign(b, k, s.digest, s.sum(b, k), scheme), call.Argument(1))
	}),
}}

var verifyClass = &bridge.Class{Name: "Verify", Methods: bridge.Members{
	"update": bridge.Method(2, updateSigning),
	"verify": bridge.Method(3, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
		s := bridge.This[*signing](b, call, "Verify")
		k := readKey(b, call.Argument(0), false)
		scheme := readScheme(b, call.Argument(0))
		signature := b.DataOrBuffer(call.Argument(1), call.Argument(2), "signature")
		return b.RT.ToValue(verify(b, k, s.digest, s.sum(b, k), signature, scheme))
	}),
}}

func newSigning(b *bridge.Bridge, call goja.FunctionCall) *signing {
	name := stringArgument(b, call.Argument(0), "algorithm")
	d := findDigest(name)
	if d == nil {
		badDigest(b, name)
	}
	return &signing{digest: d, h: d.make()}
}

func createSign(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	return b.Wrap(signClass, newSigning(b, call))
}

func createVerify(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	return b.Wrap(verifyClass, newSigning(b, call))
}

func updateSigning(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	s := bridge.This[*signing](b, call, "Sign")
	data := b.Data(call.Argument(0), call.Argument(1), "data")
	if s.done {
		b.Error("ERR_CRYPTO_INVALID_STATE", "Not initialised")
	}
	s.h.Write(data)
	return call.This
}

// sum ends the message and returns its digest.
func (s *signing) sum(b *bridge.Bridge, k *keys.Key) []byte {
	if s.done {
		b.Error("ERR_CRYPTO_INVALID_STATE", "Not initialised")
	}
	s.done = true
	if signsMessages(k) {
		b.Error("ERR_CRYPTO_UNSUPPORTED_OPERATION", "Unsupported crypto operation: Ed25519 signs whole messages; use crypto.sign(null, data, key) and crypto.verify(null, data, key, signature)")
	}
	return s.h.Sum(nil)
}

// readScheme reads the options that Node takes together with the key.
func readScheme(b *bridge.Bridge, v goja.Value) keys.Scheme {
	s := keys.Scheme{SaltLength: keys.SaltAuto}
	o, ok := v.(*goja.Object)
	if !ok || bridge.IsInstance(o) {
		return s
	}
	if _, isBytes := b.BufferSource(o); isBytes {
		return s
	}
	number := func(name string, target *int) {
		v := bridge.Property(o, name)
		if goja.IsUndefined(v) {
			return
		}
		if !goja.IsNumber(v) || v.ToFloat() != float64(bridge.Integer(v)) {
			b.BadValue("options."+name, v)
		}
		*target = bridge.Integer(v)
	}
	number("padding", &s.Padding)
	number("saltLength", &s.SaltLength)
	switch v := bridge.Property(o, "dsaEncoding"); {
	case goja.IsUndefined(v) || v.String() == "der":
	case v.String() == "ieee-p1363":
		s.P1363 = true
	default:
		b.BadValue("options.dsaEncoding", v)
	}
	return s
}

func sign(b *bridge.Bridge, k *keys.Key, d *digest, sum []byte, scheme keys.Scheme) []byte {
	signature, err := k.Sign(b.Random, d.id, sum, scheme)
	if err != nil {
		failed(b, err)
	}
	return signature
}

func verify(b *bridge.Bridge, k *keys.Key, d *digest, sum, signature []byte, scheme keys.Scheme) bool {
	ok, err := k.Verify(d.id, sum, signature, scheme)
	if err != nil {
		failed(b, err)
	}
	return ok
}

func failed(b *bridge.Bridge, err error) {
	if errors.Is(err, keys.ErrScheme) {
		b.Error("ERR_CRYPTO_UNSUPPORTED_OPERATION", "Unsupported crypto operation: the key and its options (padding, saltLength) do not go with signatures")
	}
	b.Error("ERR_CRYPTO_OPERATION_FAILED", "%v", err)
}

// oneShot reads what crypto.sign and crypto.verify have in common: the digest (nil for keys that have
// none) and what is to be signed.
func oneShot(b *bridge.Bridge, algorithm, data goja.Value) (*digest, []byte) {
	var d *digest
	if !bridge.IsNullish(algorithm) {
		name := stringArgument(b, algorithm, "algorithm")
		if d = findDigest(name); d == nil {
			badDigest(b, name)
		}
	}
	return d, b.DataOrBuffer(data, goja.Undefined(), "data")
}

// summed is the digest of a message, or the message for a key that signs it whole.
func summed(b *bridge.Bridge, k *keys.Key, d *digest, data []byte) (*digest, []byte) {
	if signsMessages(k) {
		if d != nil {
			b.Error("ERR_OSSL_INVALID_DIGEST", "Ed25519 has a digest of its own: the algorithm must be null")
		}
		return &digest{}, data
	}
	if d == nil {
		d = findDigest("sha256")
	}
	h := d.make()
	h.Write(data)
	return d, h.Sum(nil)
}

func oneShotSign(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	d, data := oneShot(b, call.Argument(0), call.Argument(1))
	if bridge.IsNullish(call.Argument(2)) {
		b.Error("ERR_CRYPTO_SIGN_KEY_REQUIRED", "No key provided to sign")
	}
	k := readKey(b, call.Argument(2), true)
	scheme := readScheme(b, call.Argument(2))
	d, sum := summed(b, k, d, data)
	return deliver(b, call.Argument(3), output(b, sign(b, k, d, sum, scheme), goja.Undefined()))
}

func oneShotVerify(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	d, data := oneShot(b, call.Argument(0), call.Argument(1))
	k := readKey(b, call.Argument(2), false)
	scheme := readScheme(b, call.Argument(2))
	signature, ok := b.BufferSource(call.Argument(3))
	if !ok {
		b.BadType("signature", "an instance of Buffer, TypedArray, or DataView", call.Argument(3))
	}
	d, sum := summed(b, k, d, data)
	return deliver(b, call.Argument(4), b.RT.ToValue(verify(b, k, d, sum, signature, scheme)))
}

// oaep reads the options of privateDecrypt and publicEncrypt.
func oaep(b *bridge.Bridge, v goja.Value) (*digest, []byte) {
	d := findDigest("sha1")
	o, ok := v.(*goja.Object)
	if !ok || bridge.IsInstance(o) {
		return d, nil
	}
	if _, isBytes := b.BufferSource(o); isBytes {
		return d, nil
	}
	if p := bridge.Property(o, "padding"); !goja.IsUndefined(p) && p.ToInteger() != keys.PaddingOAEP {
		b.TypeError("ERR_INVALID_ARG_VALUE", "RSA encryption is supported with RSA_PKCS1_OAEP_PADDING only; PKCS#1 v1.5 is not safe to decrypt")
	}
	if v := bridge.Property(o, "oaepHash"); !goja.IsUndefined(v) {
		name := stringArgument(b, v, "key.oaepHash")
		if d = findDigest(name); d == nil {
			b.Error("ERR_OSSL_EVP_INVALID_DIGEST", "Invalid digest used: %s", unknownDigest(name))
		}
	}
	var label []byte
	if v := bridge.Property(o, "oaepLabel"); !goja.IsUndefined(v) {
		label = b.DataOrBuffer(v, goja.Undefined(), "key.oaepLabel")
	}
	return d, label
}

func privateDecrypt(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	k := readKey(b, call.Argument(0), true)
	d, label := oaep(b, call.Argument(0))
	data := b.DataOrBuffer(call.Argument(1), bridge.Property(call.Argument(0), "encoding"), "buffer")
	plain, err := k.DecryptOAEP(d.id, data, label)
	if errors.Is(err, keys.ErrScheme) {
		b.Error("ERR_CRYPTO_UNSUPPORTED_OPERATION", "only RSA keys can decrypt")
	}
	if err != nil {
		b.Error("ERR_OSSL_RSA_OAEP_DECODING_ERROR", "RSA-OAEP decoding error: the key, oaepHash or oaepLabel does not go with the data")
	}
	return output(b, plain, goja.Undefined())
}

func publicEncrypt(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	k := readKey(b, call.Argument(0), false)
	d, label := oaep(b, call.Argument(0))
	data := b.DataOrBuffer(call.Argument(1), bridge.Property(call.Argument(0), "encoding"), "buffer")
	secret, err := k.EncryptOAEP(b.Random, d.id, data, label)
	if errors.Is(err, keys.ErrScheme) {
		b.Error("ERR_CRYPTO_UNSUPPORTED_OPERATION", "only RSA keys can encrypt")
	}
	if err != nil {
		b.Error("ERR_OSSL_RSA_DATA_TOO_LARGE_FOR_KEY_SIZE", "%v", err)
	}
	return output(b, secret, goja.Undefined())
}
