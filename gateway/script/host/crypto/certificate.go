package crypto

import (
	"bytes"

	"github.com/dop251/goja"

	"switchhook/gateway/script/host/bridge"
	"switchhook/gateway/script/host/buffer"
	"switchhook/gateway/script/host/keys"
)

// certificate is behind an X509Certificate.
type certificate struct {
	*keys.Certificate
	publicKey goja.Value
}

var certificateClass = &bridge.Class{Name: "X509Certificate", Length: 1}

func init() {
	certificateClass.New = func(b *bridge.Bridge, call goja.ConstructorCall) any {
		data := b.DataOrBuffer(call.Argument(0), goja.Undefined(), "buffer")
		c, err := keys.ParseCertificate(data)
		if err != nil {
			throwKey(b, err)
		}
		return &certificate{Certificate: c}
	}
	text := func(get func(*keys.Certificate) string) bridge.Accessor {
		return bridge.Accessor{Get: func(b *bridge.Bridge, s any) goja.Value {
			return b.String(get(s.(*certificate).Certificate))
		}}
	}
	// optional is undefined where the certificate does not have it.
	optional := func(get func(*keys.Certificate) string) bridge.Accessor {
		return bridge.Accessor{Get: func(b *bridge.Bridge, s any) goja.Value {
			if v := get(s.(*certificate).Certificate); v != "" {
				return b.String(v)
			}
			return goja.Undefined()
		}}
	}
	fingerprint := func(bits int) bridge.Accessor {
		return text(func(c *keys.Certificate) string { return c.Fingerprint(bits) })
	}
	certificateClass.Accessors = map[string]bridge.Accessor{
		"subject":        optional((*keys.Certificate).Subject),
		"issuer":         optional((*keys.Certificate).Issuer),
		"subjectAltName": optional((*keys.Certificate).SubjectAltName),
		"infoAccess":     optional((*keys.Certificate).InfoAccess),
		"validFrom":      text((*keys.Certificate).ValidFrom),
		"validTo":        text((*keys.Certificate).ValidTo),
		"serialNumber":   text((*keys.Certificate).SerialNumber),
		"fingerprint":    fingerprint(1),
		"fingerprint256": fingerprint(256),
		"fingerprint512": fingerprint(512),
		"ca":             {Get: func(b *bridge.Bridge, s any) goja.Value { return b.RT.ToValue(s.(*certificate).X509.IsCA) }},
		"raw": {Get: func(b *bridge.Bridge, s any) goja.Value {
			return buffer.New(b, bytes.Clone(s.(*certificate).X509.Raw))
		}},
		"keyUsage": {Get: func(b *bridge.Bridge, s any) goja.Value {
			if usage := s.(*certificate).KeyUsage(); usage != nil {
				return b.Strings(usage)
			}
			return goja.Undefined()
		}},
		"publicKey": {Get: func(b *bridge.Bridge, s any) goja.Value {
			c := s.(*certificate)
			if c.publicKey == nil {
				k, err := keys.FromCertificate(c.X509)
				if err != nil {
					throwKey(b, err)
				}
				c.publicKey = b.Wrap(keyClass, &keyState{asymmetric: k})
			}
			return c.publicKey
		}},
	}
	this := func(b *bridge.Bridge, call goja.FunctionCall) *certificate {
		return bridge.This[*certificate](b, call, "X509Certificate")
	}
	key := func(b *bridge.Bridge, v goja.Value, kind string) *keys.Key {
		k, ok := bridge.State[*keyState](b, v)
		if !ok {
			b.BadType("pkey", "an instance of KeyObject", v)
		}
		if k.kind() != kind {
			b.TypeError("ERR_INVALID_ARG_VALUE", "The argument 'pkey' is invalid. Received a %s key, a %s key is needed", k.kind(), kind)
		}
		return k.asymmetric
	}
	pem := bridge.Method(0, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value { return b.String(this(b, call).PEM()) })
	certificateClass.Methods = bridge.Members{
		"toString": pem,
		"toJSON":   pem,
		"checkHost": bridge.Method(2, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
			c := this(b, call)
			host := stringArgument(b, call.Argument(0), "name")
			subject := "default"
			if v := bridge.Property(call.Argument(1), "subject"); !goja.IsUndefined(v) {
				subject = v.String()
				if subject != "default" && subject != "always" && subject != "never" {
					b.BadValue("options.subject", v)
				}
			}
			if name, ok := c.CheckHost(host, subject); ok {
				return b.String(name)
			}
			return nil
		}),
		"checkEmail": bridge.Method(2, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
			c := this(b, call)
			if address := stringArgument(b, call.Argument(0), "email"); c.CheckEmail(address) {
				return b.String(address)
			}
			return nil
		}),
		"checkIP": bridge.Method(2, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
			c := this(b, call)
			if address := stringArgument(b, call.Argument(0), "ip"); c.CheckIP(address) {
				return b.String(address)
			}
			return nil
		}),
		"checkIssued": bridge.Method(1, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
			c := this(b, call)
			other, ok := bridge.State[*certificate](b, call.Argument(0))
			if !ok {
				b.BadType("otherCert", "an instance of X509Certificate", call.Argument(0))
			}
			return b.RT.ToValue(c.CheckIssued(other.Certificate))
		}),
		"checkPrivateKey": bridge.Method(1, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
			c := this(b, call)
			k := key(b, call.Argument(0), "private")
			public, err := keys.FromCertificate(c.X509)
			return b.RT.ToValue(err == nil && public.Equal(k.PublicOnly()))
		}),
		"verify": bridge.Method(1, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
			c := this(b, call)
			return b.RT.ToValue(c.Verify(key(b, call.Argument(0), "public").Public))
		}),
	}
}
