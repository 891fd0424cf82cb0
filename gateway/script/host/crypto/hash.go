package crypto

import (
	stdcrypto "crypto"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"hash"
	"slices"
	"strings"

	"github.com/dop251/goja"

	"switchhook/gateway/script/host/bridge"
	"switchhook/gateway/script/host/codec"
)

// digest is a hash algorithm.
type digest struct {
	name string
	id   stdcrypto.Hash
	make func() hash.Hash
}

var digests = []*digest{
	{"md5", stdcrypto.MD5, md5.New},
	{"sha1", stdcrypto.SHA1, sha1.New},
	{"sha224", stdcrypto.SHA224, sha256.New224},
	{"sha256", stdcrypto.SHA256, sha256.New},
	{"sha384", stdcrypto.SHA384, sha512.New384},
	{"sha512", stdcrypto.SHA512, sha512.New},
	{"sha512-224", stdcrypto.SHA512_224, sha512.New512_224},
	{"sha512-256", stdcrypto.SHA512_256, sha512.New512_256},
	{"sha3-224", stdcrypto.SHA3_224, func() hash.Hash { return sha3.New224() }},
	{"sha3-256", stdcrypto.SHA3_256, func() hash.Hash { return sha3.New256() }},
	{"sha3-384", stdcrypto.SHA3_384, func() hash.Hash { return sha3.New384() }},
	{"sha3-512", stdcrypto.SHA3_512, func() hash.Hash { return sha3.New512() }},
}

// digestNames has every name that OpenSSL knows the algorithms by, in lower case.
var digestNames = func() map[string]*digest {
	m := make(map[string]*digest)
	for _, d := range digests {
		m[d.name] = d
		m["rsa-"+d.name] = d
		if n, ok := strings.CutPrefix(d.name, "sha"); ok && !strings.HasPrefix(n, "3-") {
			m["sha-"+n] = d
			m["sha2-"+n] = d
			if slash := strings.Replace(n, "-", "/", 1); slash != n {
				m["sha-"+slash], m["sha2-"+slash], m["rsa-sha"+slash] = d, d, d
			}
		}
	}
	delete(m, "sha2-1")
	m["rsa-sha1-2"], m["ssl3-md5"], m["ssl3-sha1"] = m["sha1"], m["md5"], m["sha1"]
	return m
}()

// findDigest returns nil for a name that is unknown.
func findDigest(name string) *digest {
	if d := digestNames[name]; d != nil {
		return d
	}
	return digestNames[strings.ToLower(name)]
}

func hashNames() []string {
	var names []string
	for _, d := range digests {
		names = append(names, d.name, "RSA-"+strings.ToUpper(d.name))
	}
	slices.Sort(names)
	return names
}

// unknownDigest is the end of a message about an algorithm that there is not.
func unknownDigest(name string) string {
	known := make([]string, len(digests))
	for i, d := range digests {
		known[i] = d.name
	}
	return bridge.Unknown(name, known)
}

func badDigest(b *bridge.Bridge, name string) {
	b.TypeError("ERR_CRYPTO_INVALID_DIGEST", "Invalid digest: %s", unknownDigest(name))
}

// hashState is behind a Hash or an Hmac.
type hashState struct {
	h    hash.Hash
	done bool
}

var hashClass = &bridge.Class{Name: "Hash", Methods: bridge.Members{
	"update": bridge.Method(2, updateHash),
	"digest": bridge.Method(1, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
		s := bridge.This[*hashState](b, call, "Hash")
		s.open(b)
		s.done = true
		return output(b, s.h.Sum(nil), call.Argument(0))
	}),
}}

var hmacClass = &bridge.Class{Name: "Hmac", Methods: bridge.Members{
	"update": bridge.Method(2, updateHash),
	"digest": bridge.Method(1, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
		s := bridge.This[*hashState](b, call, "Hmac")
		if s.done {
			// So does Node.
			return output(b, nil, call.Argument(0))
		}
		s.done = true
		return output(b, s.h.Sum(nil), call.Argument(0))
	}),
}}

func init() {
	hashClass.Methods["copy"] = bridge.Method(1, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
		s := bridge.This[*hashState](b, call, "Hash")
		s.open(b)
		return b.Wrap(hashClass, &hashState{h: clone(b, s.h)})
	})
}

// open throws when the digest has been taken.
func (s *hashState) open(b *bridge.Bridge) {
	if s.done {
		b.Error("ERR_CRYPTO_HASH_FINALIZED", "Digest already called")
	}
}

func clone(b *bridge.Bridge, h hash.Hash) hash.Hash {
	if c, ok := h.(hash.Cloner); ok {
		if copied, err := c.Clone(); err == nil {
			return copied
		}
	}
	b.Error("ERR_INTERNAL", "this hash cannot be copied")
	return nil
}

func updateHash(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	s := bridge.This[*hashState](b, call, "Hash")
	data := b.Data(call.Argument(0), call.Argument(1), "data")
	s.open(b)
	s.h.Write(data)
	return call.This
}

func createHash(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	name := stringArgument(b, call.Argument(0), "algorithm")
	d := findDigest(name)
	if d == nil {
		b.Error("", "Digest method not supported: %s", unknownDigest(name))
	}
	return b.Wrap(hashClass, &hashState{h: d.make()})
}

func createHmac(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	name := stringArgument(b, call.Argument(0), "hmac")
	key := secret(b, call.Argument(1), bridge.Property(call.Argument(2), "encoding"))
	d := findDigest(name)
	if d == nil {
		badDigest(b, name)
	}
	return b.Wrap(hmacClass, &hashState{h: hmac.New(d.make, key)})
}

// secret reads the key of an HMAC or a cipher.
func secret(b *bridge.Bridge, v, encoding goja.Value) []byte {
	if k, ok := bridge.State[*keyState](b, v); ok {
		if k.asymmetric != nil {
			b.TypeError("ERR_CRYPTO_INVALID_KEY_OBJECT_TYPE", "Invalid key object type %s, expected secret.", k.kind())
		}
		return k.secret
	}
	if s, ok := v.(goja.String); ok {
		e, _ := b.Encoding(encoding)
		return b.StringBytes(s, e)
	}
	data, ok := b.BufferSource(v)
	if !ok {
		b.BadType("key", "of type string or an instance of ArrayBuffer, Buffer, TypedArray, DataView, KeyObject, or CryptoKey", v)
	}
	return data
}

// oneShotHash is crypto.hash(algorithm, data, outputEncoding = 'hex').
func oneShotHash(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	name := stringArgument(b, call.Argument(0), "algorithm")
	var data []byte
	if s, ok := call.Argument(1).(goja.String); ok {
		data = b.StringBytes(s, codec.UTF8)
	} else if view, ok := b.View(call.Argument(1)); ok {
		data = view
	} else {
		b.BadType("input", "of type string or an instance of Buffer, TypedArray, or DataView", call.Argument(1))
	}
	d := findDigest(name)
	if d == nil {
		b.Error("", "Digest method not supported: %s", unknownDigest(name))
	}
	h := d.make()
	h.Write(data)
	encoding := call.Argument(2)
	if goja.IsUndefined(encoding) {
		encoding = b.String("hex")
	}
	return output(b, h.Sum(nil), encoding)
}
