// Package crypto is Node's module crypto, as far as webhooks need it: hashes, HMAC,
// signatures, keys and certificates, AES, RSA-OAEP and random bytes. It works on bytes,
// so that bodies that are not UTF-8 verify, and uses Go's standard library for
// all of the cryptography.
//
// Only gateway/script/host calls it.
package crypto

import (
	"crypto/subtle"

	"github.com/dop251/goja"

	"switchhook/gateway/script/host/bridge"
	"switchhook/gateway/script/host/buffer"
	"switchhook/gateway/script/host/keys"
)

// Module describes require('crypto') and the global crypto, which are one object.
var Module = bridge.NewModule(bridge.Members{
	"createHash":       bridge.Method(2, createHash),
	"createHmac":       bridge.Method(3, createHmac),
	"hash":             bridge.Method(3, oneShotHash),
	"getHashes":        bridge.Method(0, func(b *bridge.Bridge, _ goja.FunctionCall) goja.Value { return b.Strings(hashNames()) }),
	"timingSafeEqual":  bridge.Method(2, timingSafeEqual),
	"randomBytes":      bridge.Method(2, randomBytes),
	"randomFillSync":   bridge.Method(3, randomFillSync),
	"randomInt":        bridge.Method(3, randomInt),
	"randomUUID":       bridge.Method(1, randomUUID),
	"getRandomValues":  bridge.Method(1, getRandomValues),
	"createSign":       bridge.Method(2, createSign),
	"createVerify":     bridge.Method(2, createVerify),
	"sign":             bridge.Method(4, oneShotSign),
	"verify":           bridge.Method(5, oneShotVerify),
	"createPublicKey":  bridge.Method(1, createPublicKey),
	"createPrivateKey": bridge.Method(1, createPrivateKey),
	"createSecretKey":  bridge.Method(2, createSecretKey),
	"KeyObject":        bridge.Lazy(func(b *bridge.Bridge) goja.Value { return b.Constructor(keyClass) }),
	"X509Certificate":  bridge.Lazy(func(b *bridge.Bridge) goja.Value { return b.Constructor(certificateClass) }),
	"createCipheriv":   bridge.Method(4, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value { return createCipher(b, call, true) }),
	"createDecipheriv": bridge.Method(4, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value { return createCipher(b, call, false) }),
	"getCiphers":       bridge.Method(0, func(b *bridge.Bridge, _ goja.FunctionCall) goja.Value { return b.Strings(cipherNames()) }),
	"getCurves":        bridge.Method(0, func(b *bridge.Bridge, _ goja.FunctionCall) goja.Value { return b.Strings(keys.Curves()) }),
	"privateDecrypt":   bridge.Method(2, privateDecrypt),
	"publicEncrypt":    bridge.Method(2, publicEncrypt),
	"constants":        bridge.Lazy(constants),
	"subtle":           bridge.Lazy(noSubtle).Hidden(),
	"webcrypto":        bridge.Lazy(noSubtle).Hidden(),
})

// noSubtle throws where a script reaches for Web Crypto, which works with promises that
// are settled by other threads.
func noSubtle(b *bridge.Bridge) goja.Value {
	b.Error("ERR_FEATURE_UNAVAILABLE_ON_PLATFORM", "Web Crypto (crypto.subtle, crypto.webcrypto) is not available here; use crypto.createHmac, crypto.createHash, crypto.verify or crypto.createDecipheriv, which work at once")
	return nil
}

func constants(b *bridge.Bridge) goja.Value {
	return b.Object(
		"RSA_PKCS1_PADDING", keys.PaddingPKCS1, "RSA_NO_PADDING", keys.PaddingNone,
		"RSA_PKCS1_OAEP_PADDING", keys.PaddingOAEP, "RSA_PKCS1_PSS_PADDING", keys.PaddingPSS,
		"RSA_PSS_SALTLEN_DIGEST", keys.SaltDigest, "RSA_PSS_SALTLEN_MAX_SIGN", keys.SaltMax, "RSA_PSS_SALTLEN_AUTO", keys.SaltAuto,
	)
}

func timingSafeEqual(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
	var data [2][]byte
	for i, name := range []string{"buf1", "buf2"} {
		var ok bool
		if data[i], ok = b.BufferSource(call.Argument(i)); !ok {
			b.TypeError("ERR_INVALID_ARG_TYPE", "The %q argument must be an instance of ArrayBuffer, Buffer, TypedArray, or DataView.", name)
		}
	}
	if len(data[0]) != len(data[1]) {
		b.RangeError("ERR_CRYPTO_TIMING_SAFE_EQUAL_LENGTH", "Input buffers must have the same byte length")
	}
	return b.RT.ToValue(subtle.ConstantTimeCompare(data[0], data[1]) == 1)
}

// stringArgument reads an argument that must be a string.
func stringArgument(b *bridge.Bridge, v goja.Value, name string) string {
	if !goja.IsString(v) {
		b.BadType(name, "of type string", v)
	}
	return v.String()
}

// later calls a callback with (null, result) once the running code has returned, as Node
// would; it is for the forms of functions that take one.
func later(b *bridge.Bridge, callback goja.Callable, result goja.Value) goja.Value {
	promise, resolve, _ := b.RT.NewPromise()
	then, ok := goja.AssertFunction(b.RT.ToValue(promise).ToObject(b.RT).Get("then"))
	if !ok {
		b.Error("", "Promise.prototype.then is not there any more")
	}
	b.Call(then, b.RT.ToValue(promise), b.Func("", 0, func(b *bridge.Bridge, _ goja.FunctionCall) goja.Value {
		return b.Call(callback, goja.Undefined(), goja.Null(), result)
	}))
	if err := resolve(goja.Undefined()); err != nil {
		b.Rethrow(err)
	}
	return nil
}

// output is buffer.Output.
func output(b *bridge.Bridge, data []byte, encoding goja.Value) goja.Value {
	return buffer.Output(b, data, encoding)
}
