package destination

import (
	"bytes"
	"strconv"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// The library that sign is held against.
func signWithLibrary(secrets []string, id string, at int64, body []byte) (list string, ok bool) {
	for i, secret := range secrets {
		wh, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			return "", false
		}
		signature, err := wh.Sign(id, time.Unix(at, 0), body)
		if err != nil {
			return "", false
		}
		if i > 0 {
			list += " "
		}
		list += signature
	}
	return list, true
}

func compareSignatures(t *testing.T, secrets []string, id string, at int64, body []byte) {
	t.Helper()
	want, ok := signWithLibrary(secrets, id, at, body)
	got, err := sign(secrets, id, strconv.FormatInt(at, 10), body)
	if got != want || (err == nil) != ok {
		t.Errorf("sign(%q, %q, %d, %.40q): %q, %v; the library: %q, %v", secrets, id, at, body, got, err, want, ok)
	}
}

func TestSignIsTheLibrarys(t *testing.T) {
	const whole, short = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_YQ=="
	long := "whsec_" + string(bytes.Repeat([]byte("QUJD"), 100)) // longer than a block of the hash
	for _, secrets := range [][]string{
		{whole}, {short}, {long}, {"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, {"whsec_whsec_"}, {""}, {"whsec_"},
		{whole, long}, {whole, whole, short},
		{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS"}, {"whsec_MfKQ\n9r8G"}, {"whsec_-_-_"}, {"WHSEC_YQ=="}, {" whsec_YQ=="}, {whole, "%"},
	} {
		for _, id := range []string{"evt_1", "", "a.b", "%d%s%!", "größe\x00\xff"} {
			for _, at := range []int64{0, 1, -1, 1764064800, 1<<63 - 1, -1 << 63} {
				for _, n := range []int{0, 1, 63, 64, 65, 7000, 200_000} {
					compareSignatures(t, secrets, id, at, bytes.Repeat([]byte("%\x00\xff."), n)[:n])
				}
			}
		}
	}
}

func FuzzSign(f *testing.F) {
	f.Add("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_YQ==", "evt_1", int64(1764064800), []byte(`{"a":1}`))
	f.Add("", "%", "a.b", int64(-1), []byte("%d%s\xff"))
	f.Fuzz(func(t *testing.T, first, second, id string, at int64, body []byte) {
		compareSignatures(t, []string{first}, id, at, body)
		compareSignatures(t, []string{first, second}, id, at, body)
	})
}

func BenchmarkSign(b *testing.B) {
	body, secrets := bytes.Repeat([]byte("x"), 7000), []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = sign(secrets, "evt_1", "1764064800", body)
		}
	})
	b.Run("library", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			signWithLibrary(secrets, "evt_1", 1764064800, body)
		}
	})
}
