package crypto

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"slices"
	"strings"

	"github.com/dop251/goja"

	"switchhook/gateway/script/host/bridge"
	"switchhook/gateway/script/host/buffer"
	"switchhook/gateway/script/host/codec"
)

// algorithm is a cipher: AES with a mode.
type algorithm struct {
	keySize int
	gcm     bool
}

var algorithms = map[string]algorithm{
	"aes-128-cbc": {16, false}, "aes-192-cbc": {24, false}, "aes-256-cbc": {32, false},
	"aes-128-gcm": {16, true}, "aes-192-gcm": {24, true}, "aes-256-gcm": {32, true},
}

func init() {
	for _, bits := range []string{"128", "192", "256"} {
		algorithms["aes"+bits] = algorithms["aes-"+bits+"-cbc"]
		algorithms["id-aes"+bits+"-gcm"] = algorithms["aes-"+bits+"-gcm"]
	}
}

func cipherNames() []string {
	var names []string
	for name := range algorithms {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// maxCipherBytes bounds what one cipher takes: GCM holds it several times.
const maxCipherBytes = bridge.MaxBytes / 4

// streamCipher is one direction of a cipher in use.
type streamCipher interface {
	// update takes a part of the input and returns what is ready.
	update(b *bridge.Bridge, data []byte) []byte
	// final returns the rest.
	final(b *bridge.Bridge) []byte
}

// cipherState is behind a Cipheriv or a Decipheriv.
type cipherState struct {
	stream  streamCipher
	encrypt bool
	done    bool
	total   int
	// text holds back parts of characters when the output is text.
	text *codec.Stream
}

var (
	cipherClass   = &bridge.Class{Name: "Cipheriv"}
	decipherClass = &bridge.Class{Name: "Decipheriv"}
)

func init() {
	common := func(m bridge.Members) bridge.Members {
		m["update"] = bridge.Method(3, updateCipher)
		m["final"] = bridge.Method(1, finalCipher)
		m["setAutoPadding"] = bridge.Method(1, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
			s := bridge.This[*cipherState](b, call, "Cipheriv")
			if s.done {
				b.Error("ERR_CRYPTO_INVALID_STATE", "Invalid state for operation setAutoPadding")
			}
			if c, ok := s.stream.(*cbc); ok {
				c.padding = goja.IsUndefined(call.Argument(0)) || call.Argument(0).ToBoolean()
			}
			return call.This
		})
		m["setAAD"] = bridge.Method(2, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
			s := bridge.This[*cipherState](b, call, "Cipheriv")
			data := b.DataOrBuffer(call.Argument(0), bridge.Property(call.Argument(1), "encoding"), "buffer")
			g, ok := s.stream.(*gcm)
			if !ok || s.done || s.total > 0 {
				b.Error("ERR_CRYPTO_INVALID_STATE", "Invalid state for operation setAAD")
			}
			b.Limit(len(g.additional)+len(data), maxCipherBytes, "bytes of additional data")
			g.additional = append(g.additional, data...)
			return call.This
		})
		return m
	}
	cipherClass.Methods = common(bridge.Members{
		"getAuthTag": bridge.Method(0, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
			s := bridge.This[*cipherState](b, call, "Cipheriv")
			g, ok := s.stream.(*gcm)
			if !ok || !s.done {
				b.Error("ERR_CRYPTO_INVALID_STATE", "Invalid state for operation getAuthTag")
			}
			return buffer.New(b, bytes.Clone(g.tag))
		}),
	})
	decipherClass.Methods = common(bridge.Members{
		"setAuthTag": bridge.Method(1, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
			s := bridge.This[*cipherState](b, call, "Decipheriv")
			tag := b.DataOrBuffer(call.Argument(0), call.Argument(1), "buffer")
			g, ok := s.stream.(*gcm)
			if !ok || s.done || g.tag != nil {
				b.Error("ERR_CRYPTO_INVALID_STATE", "Invalid state for operation setAuthTag")
			}
			if !validTag(len(tag)) || g.tagSize > 0 && len(tag) != g.tagSize {
				b.TypeError("ERR_CRYPTO_INVALID_AUTH_TAG", "Invalid authentication tag length: %d", len(tag))
			}
			g.tag = bytes.Clone(tag)
			return call.This
		}),
	})
}

// validTag: NIST SP 800-38D allows these lengths of a tag, in bytes.
func validTag(n int) bool { return n == 4 || n == 8 || n >= 12 && n <= 16 }

func createCipher(b *bridge.Bridge, call goja.FunctionCall, encrypt bool) goja.Value {
	name := stringArgument(b, call.Argument(0), "cipher")
	key := secret(b, call.Argument(1), goja.Undefined())
	ivArgument := call.Argument(2)
	var iv []byte
	if !goja.IsNull(ivArgument) {
		iv = b.DataOrBuffer(ivArgument, goja.Undefined(), "iv")
	}
	a, ok := algorithms[strings.ToLower(name)]
	if !ok {
		b.Error("ERR_CRYPTO_UNKNOWN_CIPHER", "Unknown cipher: %s", bridge.Unknown(name, cipherNames()))
	}
	if len(key) != a.keySize {
		b.RangeError("ERR_CRYPTO_INVALID_KEYLEN", "Invalid key length: %s takes %d bytes, got %d", name, a.keySize, len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		b.Error("ERR_CRYPTO_OPERATION_FAILED", "%v", err)
	}
	s := &cipherState{encrypt: encrypt}
	class := decipherClass
	if encrypt {
		class = cipherClass
	}
	if !a.gcm {
		if len(iv) != block.BlockSize() {
			b.TypeError("ERR_CRYPTO_INVALID_IV", "Invalid initialization vector: %s takes %d bytes, got %d", name, block.BlockSize(), len(iv))
		}
		c := &cbc{encrypt: encrypt, padding: true}
		if encrypt {
			c.mode = cipher.NewCBCEncrypter(block, iv)
		} else {
			c.mode = cipher.NewCBCDecrypter(block, iv)
		}
		s.stream = c
		return b.Wrap(class, s)
	}
	if len(iv) == 0 || len(iv) > 1024 {
		b.TypeError("ERR_CRYPTO_INVALID_IV", "Invalid initialization vector: %s takes 12 bytes, got %d", name, len(iv))
	}
	aead, err := cipher.NewGCMWithNonceSize(block, len(iv))
	if err != nil {
		b.Error("ERR_CRYPTO_OPERATION_FAILED", "%v", err)
	}
	g := &gcm{aead: aead, nonce: bytes.Clone(iv), encrypt: encrypt}
	if v := bridge.Property(call.Argument(3), "authTagLength"); !goja.IsUndefined(v) {
		if g.tagSize = bridge.Integer(v); !goja.IsNumber(v) || !validTag(g.tagSize) {
			b.TypeError("ERR_CRYPTO_INVALID_AUTH_TAG", "Invalid authentication tag length: %s", v.String())
		}
	}
	s.stream = g
	return b.Wrap(class, s)
}

func updateCipher(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	s := bridge.This[*cipherState](b, call, "Cipheriv")
	data := b.Data(call.Argument(0), call.Argument(1), "data")
	if s.done {
		b.Error("", "Trying to add data in unsupported state")
	}
	s.total += len(data)
	b.Limit(s.total, maxCipherBytes, "bytes of a cipher")
	return s.result(b, s.stream.update(b, data), call.Argument(2), false)
}

func finalCipher(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	s := bridge.This[*cipherState](b, call, "Cipheriv")
	if s.done {
		b.Error("ERR_CRYPTO_INVALID_STATE", "Invalid state")
	}
	rest := s.stream.final(b)
	s.done = true
	return s.result(b, rest, call.Argument(0), true)
}

// result makes output of what is ready. Text is made of whole characters only.
func (s *cipherState) result(b *bridge.Bridge, data []byte, encoding goja.Value, last bool) goja.Value {
	if bridge.IsNullish(encoding) || encoding.String() == "buffer" {
		return buffer.New(b, data)
	}
	e := b.KnownEncoding(encoding)
	if s.text == nil {
		s.text = &codec.Stream{Encoding: e}
	} else if s.text.Encoding != e {
		b.Error("ERR_INTERNAL_ASSERTION", "Cannot change encoding")
	}
	ready := s.text.Next(data)
	if last {
		ready = append(slices.Clip(ready), s.text.Rest()...)
	}
	return b.Text(ready, e)
}

// cbc is cipher block chaining with PKCS#7 padding.
type cbc struct {
	mode    cipher.BlockMode
	encrypt bool
	padding bool
	held    []byte
}

func (c *cbc) update(_ *bridge.Bridge, data []byte) []byte {
	c.held = append(c.held, data...)
	size := c.mode.BlockSize()
	n := len(c.held) / size * size
	if !c.encrypt && c.padding && n == len(c.held) && n > 0 {
		// The last block may be padding.
		n -= size
	}
	out := make([]byte, n)
	c.mode.CryptBlocks(out, c.held[:n])
	c.held = append(c.held[:0], c.held[n:]...)
	return out
}

func (c *cbc) final(b *bridge.Bridge) []byte {
	size := c.mode.BlockSize()
	if c.encrypt {
		if c.padding {
			n := size - len(c.held)%size
			c.held = append(c.held, bytes.Repeat([]byte{byte(n)}, n)...)
		} else if len(c.held) > 0 {
			b.Error("ERR_OSSL_WRONG_FINAL_BLOCK_LENGTH", "wrong final block length: without padding the data must be a multiple of %d bytes", size)
		}
		out := make([]byte, len(c.held))
		c.mode.CryptBlocks(out, c.held)
		return out
	}
	if !c.padding && len(c.held) == 0 {
		return nil
	}
	if len(c.held) != size {
		b.Error("ERR_OSSL_WRONG_FINAL_BLOCK_LENGTH", "wrong final block length: the data must be a multiple of %d bytes", size)
	}
	out := make([]byte, size)
	c.mode.CryptBlocks(out, c.held)
	n := int(out[size-1])
	good := n > 0 && n <= size
	for i := 1; good && i <= n; i++ {
		good = int(out[size-i]) == n
	}
	if !good {
		b.Error("ERR_OSSL_BAD_DECRYPT", "bad decrypt: the key or the initialization vector does not go with the data")
	}
	return out[:size-n]
}

// gcm is Galois counter mode. The key stream is made by encrypting zeros, since Go's
// interface takes whole messages; it doubles when it runs out.
type gcm struct {
	aead       cipher.AEAD
	nonce      []byte
	encrypt    bool
	additional []byte
	plain      []byte
	key        []byte
	tag        []byte
	tagSize    int
}

func (g *gcm) update(_ *bridge.Bridge, data []byte) []byte {
	from := len(g.plain)
	if need := from + len(data); need > len(g.key) {
		size := max(need, 2*len(g.key))
		g.key = g.aead.Seal(nil, g.nonce, make([]byte, size), nil)[:size]
	}
	out := make([]byte, len(data))
	subtle.XORBytes(out, data, g.key[from:])
	if g.encrypt {
		g.plain = append(g.plain, data...)
	} else {
		g.plain = append(g.plain, out...)
	}
	return out
}

func (g *gcm) final(b *bridge.Bridge) []byte {
	sealed := g.aead.Seal(nil, g.nonce, g.plain, g.additional)
	tag := sealed[len(g.plain):]
	if g.encrypt {
		g.tag = tag
		if g.tagSize > 0 {
			g.tag = tag[:g.tagSize]
		}
		return nil
	}
	if len(g.tag) == 0 || subtle.ConstantTimeCompare(tag[:len(g.tag)], g.tag) != 1 {
		b.Error("", "Unsupported state or unable to authenticate data")
	}
	return nil
}
