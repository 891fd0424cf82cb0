package keys

import (
	stdcrypto "crypto"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"
)

// Certificate is an X.509 certificate with the texts that Node shows for it.
type Certificate struct {
	X509 *x509.Certificate
}

// ParseCertificate reads a certificate in PEM or DER.
func ParseCertificate(data []byte) (*Certificate, error) {
	if len(data) > maxInput {
		return nil, unsupported("a certificate of more than %d KiB is not supported", maxInput>>10)
	}
	der := data
	if len(data) == 0 || data[0] != 0x30 {
		block, rest := pem.Decode(data)
		for block != nil && !strings.HasSuffix(block.Type, "CERTIFICATE") {
			block, rest = pem.Decode(rest)
		}
		if block == nil {
			return nil, &Error{Code: "ERR_OSSL_PEM_NO_START_LINE", Message: "the text is not a certificate: it is not DER and has no \"-----BEGIN CERTIFICATE-----\" block that can be read"}
		}
		der = block.Bytes
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, unreadable("certificate", err)
	}
	return &Certificate{c}, nil
}

// PEM is the certificate in PEM.
func (c *Certificate) PEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.X509.Raw}))
}

// shortNames are OpenSSL's names of the attributes that occur in practice.
var shortNames = map[string]string{
	"2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST",
	"2.5.4.9": "street", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "title", "2.5.4.13": "description",
	"2.5.4.15": "businessCategory", "2.5.4.17": "postalCode", "2.5.4.42": "GN", "2.5.4.43": "initials",
	"2.5.4.97": "organizationIdentifier", "1.2.840.113549.1.9.1": "emailAddress",
	"0.9.2342.19200300.100.1.1": "UID", "0.9.2342.19200300.100.1.25": "DC",
	"1.3.6.1.4.1.311.60.2.1.1": "jurisdictionL", "1.3.6.1.4.1.311.60.2.1.2": "jurisdictionST", "1.3.6.1.4.1.311.60.2.1.3": "jurisdictionC",
}

// Subject is the subject with one attribute a line.
func (c *Certificate) Subject() string { return nameText(c.X509.RawSubject) }

// Issuer is the issuer with one attribute a line.
func (c *Certificate) Issuer() string { return nameText(c.X509.RawIssuer) }

func nameText(raw []byte) string {
	var sets []asn1.RawValue
	if _, err := asn1.Unmarshal(raw, &sets); err != nil {
		return ""
	}
	var lines []string
	for _, set := range sets {
		var parts []string
		for rest := set.Bytes; len(rest) > 0; {
			var attribute struct {
				Type  asn1.ObjectIdentifier
				Value asn1.RawValue
			}
			var err error
			if rest, err = asn1.Unmarshal(rest, &attribute); err != nil {
				break
			}
			name := attribute.Type.String()
			if short := shortNames[name]; short != "" {
				name = short
			}
			parts = append(parts, name+"="+escapeName(valueText(attribute.Value)))
		}
		lines = append(lines, strings.Join(parts, " + "))
	}
	return strings.Join(lines, "\n")
}

// valueText decodes the string types of ASN.1.
func valueText(v asn1.RawValue) string {
	switch v.Tag {
	case asn1.TagBMPString:
		var s strings.Builder
		for i := 0; i+1 < len(v.Bytes); i += 2 {
			s.WriteRune(rune(v.Bytes[i])<<8 | rune(v.Bytes[i+1]))
		}
		return s.String()
	case asn1.TagT61String:
		var s strings.Builder
		for _, b := range v.Bytes {
			s.WriteRune(rune(b))
		}
		return s.String()
	}
	return strings.ToValidUTF8(string(v.Bytes), string(utf8.RuneError))
}

// escapeName escapes as RFC 2253 does, and control characters.
func escapeName(s string) string {
	var out strings.Builder
	for i, r := range s {
		last := i+utf8.RuneLen(r) == len(s)
		switch {
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&out, "\\%02X", r)
		case strings.ContainsRune(",+\"\\<>;", r), i == 0 && (r == '#' || r == ' '), last && r == ' ':
			out.WriteByte('\\')
			out.WriteRune(r)
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}

// ValidFrom and ValidTo are times as OpenSSL prints them.
func (c *Certificate) ValidFrom() string { return timeText(c.X509.NotBefore) }

// ValidTo: see ValidFrom.
func (c *Certificate) ValidTo() string { return timeText(c.X509.NotAfter) }

func timeText(t time.Time) string { return t.UTC().Format("Jan _2 15:04:05 2006 GMT") }

// SerialNumber is in upper-case hexadecimal.
func (c *Certificate) SerialNumber() string {
	s := strings.ToUpper(c.X509.SerialNumber.Text(16))
	if len(s)%2 == 1 {
		s = "0" + s
	}
	return s
}

// Fingerprint is a hash of the certificate in hexadecimal with colons; bits is 1 (SHA-1),
// 256 or 512.
func (c *Certificate) Fingerprint(bits int) string {
	var sum []byte
	switch bits {
	case 256:
		s := sha256.Sum256(c.X509.Raw)
		sum = s[:]
	case 512:
		s := sha512.Sum512(c.X509.Raw)
		sum = s[:]
	default:
		s := sha1.Sum(c.X509.Raw)
		sum = s[:]
	}
	var out strings.Builder
	for i, b := range sum {
		if i > 0 {
			out.WriteByte(':')
		}
		out.WriteString(strings.ToUpper(hex.EncodeToString([]byte{b})))
	}
	return out.String()
}

func (c *Certificate) extension(oid ...int) []byte {
	for _, e := range c.X509.Extensions {
		if e.Id.Equal(oid) {
			return e.Value
		}
	}
	return nil
}

// SubjectAltName is as OpenSSL prints it; empty when the certificate has none.
func (c *Certificate) SubjectAltName() string {
	var names []asn1.RawValue
	if _, err := asn1.Unmarshal(c.extension(2, 5, 29, 17), &names); err != nil {
		return ""
	}
	var parts []string
	for _, n := range names {
		text := strings.ToValidUTF8(string(n.Bytes), string(utf8.RuneError))
		switch n.Tag {
		case 1:
			parts = append(parts, "email:"+quoteName(text))
		case 2:
			parts = append(parts, "DNS:"+quoteName(text))
		case 4:
			parts = append(parts, "DirName:"+quoteName(strings.ReplaceAll(nameText(n.Bytes), "\n", ",")))
		case 6:
			parts = append(parts, "URI:"+quoteName(text))
		case 7:
			parts = append(parts, "IP Address:"+ipText(n.Bytes))
		case 8:
			parts = append(parts, "Registered ID:"+"<unsupported>")
		default:
			parts = append(parts, "othername:<unsupported>")
		}
	}
	return strings.Join(parts, ", ")
}

// quoteName puts a name that could be taken for several into quotes.
func quoteName(s string) string {
	if !strings.ContainsAny(s, ",'\"\\\x00\n\r") {
		return s
	}
	return fmt.Sprintf("%q", s)
}

func ipText(b []byte) string {
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		return fmt.Sprintf("<invalid length=%d>", len(b))
	}
	if a.Is4() {
		return a.String()
	}
	var groups []string
	for i := 0; i+1 < len(b); i += 2 {
		groups = append(groups, fmt.Sprintf("%X", uint16(b[i])<<8|uint16(b[i+1])))
	}
	return strings.Join(groups, ":")
}

// InfoAccess is as OpenSSL prints the authority information access; empty for none.
func (c *Certificate) InfoAccess() string {
	var descriptions []struct {
		Method   asn1.ObjectIdentifier
		Location asn1.RawValue
	}
	if _, err := asn1.Unmarshal(c.extension(1, 3, 6, 1, 5, 5, 7, 1, 1), &descriptions); err != nil {
		return ""
	}
	var lines []string
	for _, d := range descriptions {
		name := d.Method.String()
		switch name {
		case "1.3.6.1.5.5.7.48.1":
			name = "OCSP"
		case "1.3.6.1.5.5.7.48.2":
			name = "CA Issuers"
		}
		if d.Location.Tag == 6 {
			lines = append(lines, name+" - URI:"+quoteName(string(d.Location.Bytes)))
		}
	}
	return strings.Join(lines, "\n")
}

// KeyUsage are the identifiers of the extended key usage; nil for none.
func (c *Certificate) KeyUsage() []string {
	var oids []asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(c.extension(2, 5, 29, 37), &oids); err != nil {
		return nil
	}
	names := make([]string, len(oids))
	for i, o := range oids {
		names[i] = o.String()
	}
	return names
}

// CheckHost returns the name in the certificate that matches host. A wildcard stands for the whole first
// label. The common name counts when there are no DNS names in the subject's alternative
// names, unless never, or always.
func (c *Certificate) CheckHost(host, commonName string) (string, bool) {
	host = strings.TrimSuffix(host, ".")
	for _, name := range c.X509.DNSNames {
		if hostMatches(name, host) {
			return name, true
		}
	}
	if commonName == "always" || commonName != "never" && len(c.X509.DNSNames) == 0 {
		if cn := c.X509.Subject.CommonName; cn != "" && hostMatches(cn, host) {
			return cn, true
		}
	}
	return "", false
}

func hostMatches(pattern, host string) bool {
	if host == "" {
		return false
	}
	if strings.EqualFold(pattern, host) {
		return true
	}
	suffix, ok := strings.CutPrefix(pattern, "*.")
	if !ok || strings.Count(suffix, ".") < 1 {
		return false
	}
	label, rest, ok := strings.Cut(host, ".")
	return ok && label != "" && strings.EqualFold(rest, suffix)
}

// CheckEmail says whether an alternative name is this address.
func (c *Certificate) CheckEmail(address string) bool {
	user, domain, _ := strings.Cut(address, "@")
	for _, e := range c.X509.EmailAddresses {
		u, d, ok := strings.Cut(e, "@")
		if ok && u == user && strings.EqualFold(d, domain) {
			return true
		}
	}
	return false
}

// CheckIP says whether an alternative name is this address.
func (c *Certificate) CheckIP(address string) bool {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	for _, ip := range c.X509.IPAddresses {
		if b, ok := netip.AddrFromSlice(ip); ok && b.Unmap() == a.Unmap() {
			return true
		}
	}
	return false
}

// CheckIssued says whether other's names and key identifiers are those of c's issuer.
// It does not check the signature.
func (c *Certificate) CheckIssued(other *Certificate) bool {
	if string(c.X509.RawIssuer) != string(other.X509.RawSubject) {
		return false
	}
	id, issuer := c.X509.AuthorityKeyId, other.X509.SubjectKeyId
	if len(id) > 0 && len(issuer) > 0 && string(id) != string(issuer) {
		return false
	}
	return other.X509.KeyUsage == 0 || other.X509.KeyUsage&x509.KeyUsageCertSign != 0
}

// Verify says whether the certificate was signed with the key.
func (c *Certificate) Verify(public stdcrypto.PublicKey) bool {
	signer := &x509.Certificate{PublicKey: public}
	return signer.CheckSignature(c.X509.SignatureAlgorithm, c.X509.RawTBSCertificate, c.X509.Signature) == nil
}
