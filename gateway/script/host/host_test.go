package host_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/dop251/goja"

	"switchhook/gateway/script/host"
)

// run evaluates code and returns the result, or the error that it threw, as text.
func run(rt *goja.Runtime, code string) string {
	v, err := rt.RunString(code)
	var ex *goja.Exception
	if errors.As(err, &ex) {
		return "throws " + ex.Value().String()
	}
	if err != nil {
		return fmt.Sprintf("fails %T", err)
	}
	return v.String()
}

// What has no equal in Node, and what would disturb it.
func TestObjects(t *testing.T) {
	for _, c := range []struct{ name, code, want string }{
		{"a global can be replaced before it is touched", "btoa = () => 'mine'; btoa('x') + globalThis.btoa('x')", "minemine"},
		{"a global can be replaced after it was touched", "btoa('x'); globalThis.btoa = 5; typeof btoa", "number"},
		{"a deleted global stays away", "Buffer; delete globalThis.Buffer; typeof Buffer", "undefined"},
		{"a global can be declared", "var Buffer = 7; Buffer", "7"},
		{"touching makes a plain property", "URL; JSON.stringify(Object.getOwnPropertyDescriptor(globalThis, 'URL'))", `{"writable":true,"enumerable":false,"configurable":true}`},
		{"others are still missing", "typeof process + typeof require + typeof setTimeout + typeof fetch", "undefinedundefinedundefinedundefined"},
		{"a missing name is still an error", "try { nope } catch (e) { e.name }", "ReferenceError"},
		{"a member can be replaced", "crypto.randomUUID = () => 'fixed'; crypto.randomUUID()", "fixed"},
		{"a member can be deleted", "delete crypto.createHash; typeof crypto.createHash + ('createHash' in crypto) + Object.keys(crypto).includes('createHash')", "undefinedfalsefalse"},
		{"a member can be added", "crypto.mine = 1; crypto.mine + Object.keys(crypto).filter(k => k === 'mine').length", "2"},
		{"methods can be added to prototypes", "Buffer.prototype.shout = function () { return this + '!' }; Buffer.from('a').shout()", "a!"},
		{"methods can be replaced on prototypes", "Buffer.prototype.toString = () => 'x'; '' + Buffer.from('a')", "x"},
		{"prototypes can be frozen", "Object.freeze(Buffer.prototype); Buffer.from('a').toString('hex') + Buffer.from('b').toString('hex')", "6162"},
		{"members are the same each time", "crypto.createHash === crypto.createHash && Buffer.from === Buffer.from && Buffer.prototype.write === Buffer.prototype.write", "true"},
		{"subtle says what to use", "crypto.subtle", "throws Error: Web Crypto (crypto.subtle, crypto.webcrypto) is not available here; use crypto.createHmac, crypto.createHash, crypto.verify or crypto.createDecipheriv, which work at once"},
		{"subtle is not listed", "({...crypto}); Object.keys(crypto).includes('subtle')", "false"},
		{"a slip in an algorithm is named", "crypto.createHmac('sha265', 'k')", `throws TypeError: Invalid digest: sha265, did you mean "sha256"?; supported are md5, sha1, sha224, sha256, sha384, sha512, sha512-224, sha512-256, sha3-224, sha3-256, sha3-384, sha3-512`},
		{"a slip in a cipher is named", "try { crypto.createDecipheriv('aes256-cbc', '', '') } catch (e) { e.message.split(';')[0] }", `Unknown cipher: aes256-cbc, did you mean "aes-256-cbc"?`},
		{"stack traces name the function", "try { crypto.createHash('x') } catch (e) { e.stack.includes('at createHash (native)') }", "true"},
		{"a malformed raw ECDSA signature is just wrong", "const k = 'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEU4yaUamBg+TAzHSmtvkNEtM0MvxT6iiPQrg+Ea50I4/VRl17M/4DPPMw2PLxjjD/H1JAabddE9VJDxzkqUmiJg=='; crypto.verify('sha256', Buffer.from('a'), {key: Buffer.from(k, 'base64'), format: 'der', type: 'spki', dsaEncoding: 'ieee-p1363'}, Buffer.alloc(5))", "false"},
		{"windows-1252 is not latin1", "new TextDecoder('latin1').decode(new Uint8Array([0x80, 0x99, 0xe9]))", "€™é"},
		{"callbacks are called after the code", "let log = []; crypto.randomBytes(3, (e, b) => log.push(e, b.length)); log.push('first'); globalThis.log = log; ''", ""},
		{"instances keep what is put on them", "const h = crypto.createHash('md5'); h.tag = 1; delete h.nothing; h.tag + Object.keys(h).join()", "1tag"},
		{"a method refuses other receivers", "try { crypto.createHash('md5').update.call({}, 'a') } catch (e) { e.code }", "ERR_INVALID_THIS"},
		{"an accessor refuses other receivers", "try { Object.create(URL.prototype).href } catch (e) { e.code }", "ERR_INVALID_THIS"},
		{"the prototype of an instance is shown", "const u = new URL('http://h'); u.__proto__ === URL.prototype && Object.getPrototypeOf(u) === URL.prototype", "true"},
		{"a certificate is JSON as its PEM", "typeof crypto.X509Certificate.prototype.toJSON", "function"},
		{"transferring is refused", "try { structuredClone(new ArrayBuffer(1), {transfer: [new ArrayBuffer(1)]}) } catch (e) { e.name }", "DataCloneError"},
		{"a URL is not cloned", "try { structuredClone({u: new URL('http://h')}) } catch (e) { e.name + ': ' + e.message }", "DataCloneError: #<URL> could not be cloned."},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := run(newRuntime(t, host.Options{}), c.code); got != c.want {
				t.Errorf("%s\n got %s\nwant %s", c.code, got, c.want)
			}
		})
	}
}

func TestCallback(t *testing.T) {
	rt := newRuntime(t, host.Options{})
	run(rt, "globalThis.log = []; crypto.randomBytes(3, (e, b) => log.push(e === null, b.length)); crypto.randomInt(5, 6, (e, n) => log.push(n)); log.push('first')")
	if got := run(rt, "log.join()"); got != "first,true,3,5" {
		t.Errorf("got %s", got)
	}
}

func TestModule(t *testing.T) {
	rt := newRuntime(t, host.Options{})
	for name, wanted := range map[string][]string{
		"crypto": {"createHmac", "createVerify", "timingSafeEqual", "constants", "X509Certificate"},
		"buffer": {"Buffer", "atob", "btoa", "constants"},
		"url":    {"URL", "URLSearchParams"},
	} {
		plain, ok := host.Module(rt, name)
		prefixed, ok2 := host.Module(rt, "node:"+name)
		if !ok || !ok2 || !plain.SameAs(prefixed) {
			t.Fatalf("%s and node:%s differ", name, name)
		}
		o := plain.ToObject(rt)
		if d := o.Get("default"); d == nil || !d.SameAs(plain) {
			t.Errorf("%s: default is not the module", name)
		}
		names := o.GetOwnPropertyNames()
		for _, w := range wanted {
			if !slices.Contains(names, w) {
				t.Errorf("%s does not list %s", name, w)
			}
			if goja.IsUndefined(o.Get(w)) {
				t.Errorf("%s does not have %s", name, w)
			}
		}
	}
	for _, name := range []string{"fs", "node:fs", "", "crypto/promises", "node:"} {
		if _, ok := host.Module(rt, name); ok {
			t.Errorf("there is a module %q", name)
		}
	}
	if _, ok := host.Module(goja.New(), "crypto"); ok {
		t.Error("a runtime without Install has modules")
	}
}

// An object that somebody puts between the global object and ours does no harm.
func TestBehindAnotherPrototype(t *testing.T) {
	rt := newRuntime(t, host.Options{})
	between := rt.NewObject()
	if err := between.SetPrototype(rt.GlobalObject().Prototype()); err != nil {
		t.Fatal(err)
	}
	if err := rt.GlobalObject().SetPrototype(between); err != nil {
		t.Fatal(err)
	}
	if got := run(rt, "typeof crypto.createHash"); got != "function" {
		t.Errorf("crypto.createHash is %s", got)
	}
	if _, ok := host.Module(rt, "url"); !ok {
		t.Error("no module url")
	}
}

// seeded is a source of bytes that are always the same.
func seeded(seed uint64) *rand.ChaCha8 {
	var key [32]byte
	key[0] = byte(seed)
	return rand.NewChaCha8(key)
}

func TestDeterministic(t *testing.T) {
	code := `const [p, k] = [K.rsaPublic, K.rsaPrivate], d = Buffer.from('d');
		[crypto.randomUUID(), crypto.randomBytes(9).toString('hex'), crypto.randomInt(1000000), crypto.getRandomValues(new Uint8Array(4)).join(),
		crypto.randomFillSync(Buffer.alloc(3)).toString('hex'), crypto.sign('sha256', d, k).toString('hex'),
		crypto.sign('sha256', d, {key: k, padding: 6}).toString('hex'), crypto.sign('sha256', d, K.p256Private).toString('hex'),
		crypto.sign(null, d, K.edPrivate).toString('hex'), crypto.publicEncrypt(p, d).toString('hex')].join('\n')`
	result := func(seed uint64) string {
		rt := newRuntime(t, host.Options{Random: seeded(seed)})
		if _, err := rt.RunString("K = " + string(readFixtures(t))); err != nil {
			t.Fatal(err)
		}
		return run(rt, code)
	}
	first, second, other := result(1), result(1), result(2)
	if first != second {
		t.Errorf("the same seed gives\n%s\nand\n%s", first, second)
	}
	// Only RSA PKCS #1, ECDSA and Ed25519 do not depend on random bytes.
	same := 0
	lines, others := strings.Split(first, "\n"), strings.Split(other, "\n")
	for i := range lines {
		if lines[i] == others[i] {
			same++
		}
	}
	if len(lines) != 10 || same != 3 {
		t.Errorf("of %d results %d are the same with another seed, want 3:\n%s\n\n%s", len(lines), same, first, other)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("out of entropy") }

func TestBrokenRandom(t *testing.T) {
	rt := newRuntime(t, host.Options{Random: broken{}})
	for _, code := range []string{"crypto.randomUUID()", "crypto.randomBytes(1)", "crypto.randomInt(5)", "crypto.getRandomValues(new Uint8Array(1))"} {
		if got := run(rt, code); got != "throws Error: no random bytes: out of entropy" {
			t.Errorf("%s: %s", code, got)
		}
	}
}

// A body that is not UTF-8 has the HMAC of its bytes, whatever carries them.
func TestBytesSurvive(t *testing.T) {
	rt := newRuntime(t, host.Options{})
	body := []byte{0xff, 0x00, 0xc3, 0x28, 0xe2, 0x82}
	if err := rt.Set("bytes", rt.NewArrayBuffer(body)); err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, []byte("k"))
	mac.Write(body)
	want := hex.EncodeToString(mac.Sum(nil))
	for _, code := range []string{
		"crypto.createHmac('sha256', 'k').update(new Uint8Array(bytes)).digest('hex')",
		"crypto.createHmac('sha256', 'k').update(Buffer.from(bytes)).digest('hex')",
		"crypto.createHmac('sha256', 'k').update(new DataView(bytes)).digest('hex')",
		"crypto.createHmac('sha256', 'k').update(Buffer.from(bytes).toString('latin1'), 'latin1').digest('hex')",
		"crypto.createHmac('sha256', 'k').update(Buffer.from(bytes).toString('base64'), 'base64').digest('hex')",
		"crypto.createHmac('sha256', 'k').update('ff00c328e282', 'hex').digest('hex')",
	} {
		if got := run(rt, code); got != want {
			t.Errorf("%s: %s, want %s", code, got, want)
		}
	}
}

// No small call may take much memory.
func TestLimits(t *testing.T) {
	const rangeError = "RangeError"
	// Strings can be used in all runtimes.
	rt := goja.New()
	big := rt.ToValue(strings.Repeat("x", 33<<20))
	wide := goja.StringFromUTF16(slices.Repeat([]uint16{0x4e16}, 33<<20))
	bytes, full := make([]byte, 64<<20), slices.Repeat([]byte{0xff}, 33<<20)
	const setup = "var bytes = Buffer.from(bytesBuffer), full = new Uint8Array(fullBuffer)"
	for _, c := range []struct{ code, want string }{
		{"Buffer.alloc(2 ** 26 + 1)", rangeError},
		{"Buffer.alloc(2 ** 53)", rangeError},
		{"Buffer.allocUnsafe(1e10)", rangeError},
		{"new Buffer(1e10)", rangeError},
		{"crypto.randomBytes(1e9)", rangeError},
		{"Buffer.from(big)", rangeError},
		{"Buffer.from(wide, 'utf16le')", rangeError},
		{"Buffer.from(wide, 'hex')", rangeError},
		{"bytes.write(wide)", rangeError},
		{"Buffer.alloc(5).fill(wide)", rangeError},
		{"bytes.indexOf(wide)", rangeError},
		{"bytes.toString('hex')", "Error"},
		{"bytes.toString('base64')", "Error"},
		{"Buffer.from(fullBuffer).toString()", "Error"},
		{"bytes.toJSON()", rangeError},
		{"JSON.stringify(bytes)", rangeError},
		{"Buffer.concat([bytes, bytes])", rangeError},
		{"Buffer.concat(Array(10).fill(bytes))", rangeError},
		{"Buffer.concat([], 1e9)", ""},
		{"Buffer.concat([Buffer.alloc(1)], 1e9)", rangeError},
		{"Buffer.from({length: 1e9})", rangeError},
		{"Buffer.from({length: Infinity})", rangeError},
		{"const a = []; a.length = 4294967295; Buffer.from(a)", rangeError},
		{"const a = []; a.length = 4294967295; Buffer.concat(a)", "TypeError"},
		{"Buffer.from(new Uint16Array(2e6))", rangeError},
		{"new TextEncoder().encode(wide)", rangeError},
		{"new TextDecoder().decode(full)", rangeError},
		{"new TextDecoder('latin1').decode(full)", rangeError},
		{"new TextDecoder('utf-16le').decode(full)", rangeError},
		{"atob(big)", rangeError},
		{"btoa(big)", rangeError},
		{"new URL('http://h/' + big)", rangeError},
		{"new URL(big, 'http://h')", rangeError},
		{"URL.canParse('http://h/' + big)", rangeError},
		{"new URL('http://h').search = big", rangeError},
		{"new URL('http://' + '1.'.repeat(4e5))", "TypeError"},
		{"new URL('http://' + '\\u00fc'.repeat(4e5))", "TypeError"},
		{"new URL('http://h' + '/'.repeat(1e6)).href.length", ""},
		{"new URL('http://h/?' + '&a'.repeat(5e5)).searchParams.size", ""},
		{"new URLSearchParams('&a'.repeat(2e6))", rangeError},
		{"new URLSearchParams(big).toString()", rangeError},
		{"const p = new URLSearchParams('&a'.repeat(2 ** 20 - 1)); p.append('a', 'b'); p.append('a', 'b')", rangeError},
		{"structuredClone(new ArrayBuffer(2 ** 27))", rangeError},
		{"const a = []; a.length = 4294967295; structuredClone(a).length", ""},
		{"let o = {}; for (let i = 0; i < 1e5; i++) o = {o}; structuredClone(o)", rangeError},
		{"let o = []; for (let i = 0; i < 1e5; i++) o = [o]; structuredClone(o)", rangeError},
		{"let o = new Map(); for (let i = 0; i < 1e5; i++) o = new Map([[o, o]]); structuredClone(o)", rangeError},
		{"const c = crypto.createCipheriv('aes-256-gcm', Buffer.alloc(32), Buffer.alloc(12)); c.update(bytes)", rangeError},
		{"const c = crypto.createDecipheriv('aes-128-cbc', Buffer.alloc(16), Buffer.alloc(16)); c.update(bytes)", rangeError},
		{"const c = crypto.createCipheriv('aes-256-gcm', Buffer.alloc(32), Buffer.alloc(12)); for (;;) c.setAAD(Buffer.alloc(1e6))", rangeError},
		{"crypto.createCipheriv('aes-256-gcm', Buffer.alloc(32), bytes)", "TypeError"},
		{"crypto.createSecretKey(new ArrayBuffer(2 ** 27))", rangeError},
		{"crypto.createPublicKey(bytes)", "Error"},
		{"new crypto.X509Certificate(bytes)", "Error"},
		{"crypto.createPublicKey({key: {kty: 'RSA', e: 'AQAB', n: 'B'.repeat(1e6)}, format: 'jwk'})", "TypeError"},
		{"Buffer.from(10n ** 100000n)", "TypeError"},
		{"Buffer.from('a', big)", "TypeError"},
		{"crypto.createHash(big)", "Error"},
		{"crypto.createCipheriv(big, '', '')", "Error"},
		{"new TextDecoder(big)", rangeError},
		{"crypto.randomInt(0, big)", "TypeError"},
		{"function f() { return {valueOf: f} } Buffer.from({valueOf: f})", rangeError},
		{"function f() { return {valueOf: () => { f(); return {} }} } Buffer.from({valueOf() { return Buffer.from({valueOf: f}) }})", "TypeError"},
	} {
		t.Run(c.code, func(t *testing.T) {
			rt := newRuntime(t, host.Options{})
			for name, v := range map[string]any{"big": big, "wide": wide, "bytesBuffer": rt.NewArrayBuffer(bytes), "fullBuffer": rt.NewArrayBuffer(full)} {
				if err := rt.Set(name, v); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := rt.RunString(setup); err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got := run(rt, "(() => { try { "+c.code+"; return '' } catch (e) { return e.name + (String(e.message).length > 1000 ? ' with a long message' : '') } })()")
			runtime.ReadMemStats(&after)
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			// 64 MiB may be there several times: argument, result, and garbage of what grew.
			if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 450 {
				t.Errorf("%d MiB were allocated", took)
			}
		})
	}
}

// Whatever a script does to the language, the objects answer with an exception at worst.
func TestHostile(t *testing.T) {
	for _, code := range []string{
		"Uint8Array = 5; Buffer.from('a')",
		"Uint8Array = undefined; crypto.randomBytes(3)",
		"delete globalThis.Uint8Array; new TextEncoder().encode('a')",
		"Uint8Array = function () { throw 1 }; Buffer.from('a')",
		"Uint8Array = function () { return {} }; Buffer.from('a').toString()",
		"TypeError = 5; RangeError = undefined; Buffer.from(5)",
		"TypeError = function () { return 7 }; Buffer.from(5)",
		"Error = class { constructor() { throw new Error() } }; crypto.createHash('x')",
		"Error = null; new DOMException('a', 'b')",
		"Object.setPrototypeOf(globalThis, null); crypto",
		"Object.setPrototypeOf(Buffer, null); Buffer.from('a')",
		"Object.setPrototypeOf(Buffer.prototype, null); Buffer.from('a').toString()",
		"Buffer.prototype = 5; Buffer.from('a')",
		"ArrayBuffer.isView = () => true; crypto.createHash('md5').update({length: 1e9})",
		"ArrayBuffer = null; crypto.createHash('md5').update({})",
		"Map = null; Set = 5; structuredClone(new (class extends Array {}))",
		"Map.prototype.forEach = null; structuredClone(new Map())",
		"Map.prototype.set = () => { throw 5 }; structuredClone(new Map([[1, 2]]))",
		"Date = null; structuredClone(new (Object.getPrototypeOf(new (0, eval)('class X {}; X')).constructor))",
		"const d = new Date(); Date = null; structuredClone(d)",
		"Promise.prototype.then = null; crypto.randomBytes(1, () => 1)",
		"String.prototype.valueOf = null; structuredClone(Object('a'))",
		"Object.prototype.key = {get x() { throw 1 }}; crypto.createPublicKey({})",
		"Object.prototype.format = 'jwk'; crypto.createPublicKey({key: {}})",
		"Object.defineProperty(Object.prototype, 'transfer', {get() { throw 5 }}); structuredClone({}, {})",
		"crypto.createHmac('sha256', new Proxy(new Uint8Array(3), {}))",
		"Buffer.from(new Proxy([1, 2, 3], {get(t, k) { if (k === '1') throw 5; return t[k] }}))",
		"Buffer.concat(new Proxy([], {get(t, k) { return k === 'length' ? 5 : t[k] }}))",
		"new URLSearchParams({get a() { throw 5 }})",
		"new URL({toString() { throw 5 }})",
		"new URL({toString() { return {} }})",
		"new URL('http://h').host = Symbol('x')",
		"Reflect.construct(URL, ['http://h'], class { static get prototype() { return 5 } })",
		"Reflect.construct(URL, ['http://h'], function () {}).href",
		"Reflect.set(URL.prototype, 'href', 'http://x', {})",
		"Reflect.get(URL.prototype, 'href', 5)",
		"Object.defineProperty(new URL('http://h'), 'x', {get() { return 1 }})",
		"class U extends URL { #x = 1 }; new U('http://h')",
		"new URL('http://h')[Symbol.iterator] = 1",
		"URL.prototype.__proto__ = null; new URL('http://h').href",
		"URL.prototype = null; new URL('http://h')",
		"crypto.createHash('md5').__proto__ = null",
		"Object.setPrototypeOf(crypto.createHash('md5'), new Proxy({}, {get() { throw 5 }})).update('x')",
		"Object.freeze(crypto)",
		"Object.defineProperty(crypto, 'createHash', {value: 1, writable: false})",
		"for (const k in crypto) crypto[k]; for (const k in Buffer.from('abc')); for (const k in new URL('http://h'));",
		"JSON.stringify([crypto, new URL('http://h'), crypto.createHash('md5'), new URLSearchParams('a=b'), Buffer])",
		"structuredClone(crypto)",
		"structuredClone(globalThis)",
		"structuredClone(Buffer)",
		"structuredClone({get a() { return structuredClone(this) }})",
		"structuredClone(new Proxy({}, {ownKeys() { throw 5 }}))",
		"structuredClone({[Symbol.toStringTag]: 'WeakMap'})",
		"structuredClone(Object.defineProperty(new Uint8Array(4), 'buffer', {value: 5}))",
		"structuredClone(Object.defineProperty(new Uint8Array(4), 'byteOffset', {value: 99}))",
		"structuredClone(Object.defineProperty(new Uint8Array(4), Symbol.toStringTag, {value: 'Nope'}))",
		"Buffer.prototype.subarray.call(Object.defineProperty(new Uint8Array(4), 'byteOffset', {value: 99}), 1)",
		"Buffer.prototype.subarray.call(Object.defineProperty(new Uint8Array(4), 'buffer', {value: {}}), 1)",
		"Buffer.copyBytesFrom(Object.defineProperty(new Uint8Array(4), 'BYTES_PER_ELEMENT', {value: 1e9}), 1)",
		"crypto.randomFillSync(Object.defineProperty(new Uint8Array(4), 'BYTES_PER_ELEMENT', {value: 1e9}), 1)",
		"crypto.randomFillSync(new Uint8Array(4), 4, 4)",
		"crypto.randomFillSync(new Uint8Array(4), 1e300)",
		"crypto.timingSafeEqual({length: 3}, {length: 3})",
		"crypto.createHash('md5').update.apply(crypto.createHash('md5').digest)",
		"crypto.createHash('md5').digest({toString() { throw 5 }})",
		"crypto.createCipheriv('aes-256-gcm', Buffer.alloc(32), Buffer.alloc(12), {authTagLength: {}})",
		"crypto.createCipheriv('aes-256-gcm', Buffer.alloc(32), Buffer.alloc(12)).update('a', 'utf8', 'nope')",
		"crypto.createDecipheriv('aes-256-gcm', Buffer.alloc(32), Buffer.alloc(12)).setAuthTag(Buffer.alloc(0))",
		"crypto.sign('sha512', Buffer.from('a'), {key: K, padding: 6, saltLength: 1e9})",
		"crypto.sign('sha512', Buffer.from('a'), {key: K, padding: 6, saltLength: 0})",
		"crypto.sign('sha3-256', Buffer.from('a'), {key: K, padding: 6, saltLength: -99})",
		"crypto.verify('sha512', Buffer.from('a'), {key: K, padding: 6, saltLength: NaN}, Buffer.from('a'))",
		"crypto.publicEncrypt({key: K, oaepHash: 'sha512', oaepLabel: new Uint8Array(1000)}, new Uint8Array(300))",
		"crypto.privateDecrypt({key: K, oaepHash: 'sha3-512'}, new Uint8Array(256))",
		"Buffer.alloc(4).writeBigInt64LE(2n ** 1000n)",
		"Buffer.alloc(4).readUIntLE(-1, 3)",
		"Buffer.alloc(4).readUIntLE(1e300, 3)",
		"Buffer.alloc(4).copy(Buffer.alloc(2), 1e300, -0, 1e300)",
		"Buffer.alloc(4).slice(-1e300, 1e300)",
		"Buffer.alloc(4).toString('utf8', -1e300, 1e300)",
		"Buffer.alloc(4).indexOf('a', -1e300)",
		"Buffer.alloc(4).lastIndexOf(Buffer.alloc(9), 1e300)",
		"Buffer.alloc(3).lastIndexOf('ab', 1, 'utf16le')",
		"Buffer.alloc(4).fill('a', 1e300, 1e300)",
		"Buffer.from(new ArrayBuffer(4), -1)",
		"Buffer.from(new ArrayBuffer(4), 1e300)",
		"new TextDecoder('utf-16be').decode(new Uint8Array(3), {stream: true})",
		"new crypto.X509Certificate(Buffer.alloc(100, 0x30))",
		"crypto.createPublicKey({key: Buffer.alloc(100, 0x30), format: 'der', type: 'spki'})",
		"crypto.createPrivateKey({key: {kty: 'RSA', n: 'AQ', e: 'AQAB', d: 'AQ', p: '', q: '', dp: '', dq: '', qi: ''}, format: 'jwk'})",
		"crypto.createPrivateKey({key: {kty: 'EC', crv: 'P-256', x: 'AQ', y: 'AQ', d: ''}, format: 'jwk'})",
		"crypto.createPublicKey({key: {kty: 'OKP', crv: 'X25519', x: ''}, format: 'jwk'})",
	} {
		t.Run(code, func(t *testing.T) {
			rt := newRuntime(t, host.Options{})
			var fixtures map[string]string
			if err := json.Unmarshal(readFixtures(t), &fixtures); err != nil {
				t.Fatal(err)
			}
			if err := rt.Set("K", fixtures["rsaPrivate"]); err != nil {
				t.Fatal(err)
			}
			_, err := rt.RunString(code)
			var ex *goja.Exception
			var overflow *goja.StackOverflowError
			if err != nil && !errors.As(err, &ex) && !errors.As(err, &overflow) {
				t.Errorf("%T: %v", err, err)
			}
			if err != nil && strings.Contains(err.Error(), " failed: ") {
				t.Errorf("caught a mistake of ours: %v", err)
			}
		})
	}
}

// Long loops in Go that call JavaScript can be interrupted.
func TestInterrupt(t *testing.T) {
	for _, code := range []string{
		"const p = new URLSearchParams('a=b&c=d'); p.forEach(() => stop()); 'survived'",
		"new URLSearchParams({*[Symbol.iterator]() { for (;;) { stop(); yield ['a', 'b'] } }}); 'survived'",
		"Buffer.from(new Proxy([1, 2, 3], {get(t, k) { stop(); return t[k] }})); 'survived'",
		"structuredClone({get a() { stop(); return 1 }}); 'survived'",
	} {
		rt := newRuntime(t, host.Options{})
		if err := rt.Set("stop", func(goja.FunctionCall) goja.Value { rt.Interrupt("enough"); return nil }); err != nil {
			t.Fatal(err)
		}
		_, err := rt.RunString("try { " + code + " } catch (e) { 'caught' }")
		var interrupted *goja.InterruptedError
		if !errors.As(err, &interrupted) {
			t.Errorf("%s: %v", code, err)
		}
	}
}

// An error message shows a string in full, so that a reporter finds secrets in it, or not at all.
func TestErrorsShowNoParts(t *testing.T) {
	secret := "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	awkward := "it's \\ secret"
	for _, code := range []string{
		"Buffer.from('a').equals(S)", "Buffer.concat([S])", "crypto.createHmac('sha256', 'k').update('a').digest(S)", "crypto.timingSafeEqual(S, S)",
		"crypto.createHash(S)", "crypto.createHmac(S, 'x')", "crypto.createCipheriv(S, 'x', 'y')", "crypto.createPublicKey(S)", "crypto.createPrivateKey(S)",
		"crypto.createPublicKey({key: S, format: S})", "crypto.createPublicKey({key: S, format: 'jwk'})", "crypto.createPublicKey({key: {kty: S}, format: 'jwk'})",
		"Buffer.from('a', S)", "Buffer.from('a').toString(S)", "Buffer.alloc(S)", "Buffer.alloc(1).readUInt8(S)", "crypto.randomInt(S)", "new TextDecoder(S)",
		"new URL(S)", "new crypto.X509Certificate(S)", "atob(S)", "new URLSearchParams([S])", "crypto.verify('sha256', Buffer.alloc(1), 5, S)",
		"crypto.createVerify('sha256').verify(S, 'x')", "crypto.createDecipheriv('aes-128-cbc', S, S)", "new TextEncoder().encodeInto(5, S)",
	} {
		for _, s := range []string{secret, awkward} {
			rt := newRuntime(t, host.Options{})
			if err := rt.Set("S", s); err != nil {
				t.Fatal(err)
			}
			got := strings.ReplaceAll(run(rt, code), s, "")
			for i := 0; i+8 <= len(s); i++ {
				if strings.Contains(got, s[i:i+8]) {
					t.Errorf("%s shows a part of the secret: %s", code, got)
					break
				}
			}
		}
	}
}

func BenchmarkInstall(b *testing.B) {
	b.Run("runtime alone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			goja.New()
		}
	})
	b.Run("with Install", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := host.Install(goja.New(), host.Options{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkFirstUse is what a handler pays for the objects that it touches, on top of Install.
func BenchmarkFirstUse(b *testing.B) {
	for name, code := range map[string]string{
		"nothing": "1",
		"crypto":  "crypto.createHmac('sha256', 'k').update('a').digest('hex')",
		"verify":  "const x = crypto.createHmac('sha256', 'k').update('a').digest(); crypto.timingSafeEqual(x, Buffer.from('00', 'hex').length ? x : x)",
		"Buffer":  "Buffer.from('aGVsbG8=', 'base64').toString()",
		"URL":     "new URL('https://example.com/a?b=c').searchParams.get('b')",
		"text":    "new TextDecoder().decode(new TextEncoder().encode('abc'))",
	} {
		program := goja.MustCompile("", code, false)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rt := goja.New()
				if err := host.Install(rt, host.Options{}); err != nil {
					b.Fatal(err)
				}
				if _, err := rt.RunProgram(program); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkHMAC verifies a body of 7 KB in a runtime that has been used before.
func BenchmarkHMAC(b *testing.B) {
	body := strings.Repeat("{\"some\": \"json\"}", 448)
	for name, value := range map[string]func(rt *goja.Runtime) any{
		"string": func(rt *goja.Runtime) any { return body },
		"bytes": func(rt *goja.Runtime) any {
			o, err := rt.New(rt.Get("Uint8Array"), rt.ToValue(rt.NewArrayBuffer([]byte(body))))
			if err != nil {
				b.Fatal(err)
			}
			return o
		},
	} {
		b.Run(name, func(b *testing.B) {
			rt := newRuntime(b, host.Options{})
			if err := rt.Set("body", value(rt)); err != nil {
				b.Fatal(err)
			}
			program := goja.MustCompile("", "crypto.createHmac('sha256', 'secret').update(body).digest('hex')", false)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := rt.RunProgram(program); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
