package destination

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"switchhook/gateway/deliver"
	"switchhook/gateway/hook"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for v, want := range map[string]time.Duration{
		"":                               0,
		"0":                              0,
		"120":                            2 * time.Minute,
		" 5 ":                            5 * time.Second,
		"86400":                          24 * time.Hour,
		"86401":                          24 * time.Hour,
		"99999999999999999999999999":     24 * time.Hour,
		"-5":                             0,
		"1.5":                            0,
		"soon":                           0,
		"Fri, 02 Jan 2026 03:05:05 GMT":  time.Minute,
		"Fri, 02 Jan 2026 03:04:04 GMT":  0,
		"Sat, 02 Jan 2027 03:04:04 GMT":  24 * time.Hour,
		"Friday, 02-Jan-26 03:05:05 GMT": time.Minute,
		"Fri Jan  2 03:05:05 2026":       time.Minute,
	} {
		if got := retryAfter(v, now); got != want {
			t.Errorf("%q: %v, want %v", v, got, want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "5", "Fri, 02 Jan 2026 03:05:05 GMT", "999999999999999999999", "-1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, v string) {
		if d := retryAfter(v, time.Unix(1767323045, 0)); d < 0 || d > deliver.MaxRetryAfter {
			t.Errorf("%q: %v", v, d)
		}
	})
}

func TestContinueTrace(t *testing.T) {
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	got := continueTrace(parent)
	if len(got) != len(parent) || got[:36] != parent[:36] || got[52:] != parent[52:] || got[36:52] == parent[36:52] {
		t.Errorf("%s continues as %s", parent, got)
	}
	if got := continueTrace("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes"); !strings.HasPrefix(got, "00-4bf9") {
		t.Errorf("a later version continues as %q", got)
	}
	for _, bad := range []string{
		"", "00", strings.ToUpper(parent), parent + "-more", parent[:54], "ff" + parent[2:], "zz" + parent[2:],
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
		strings.ReplaceAll(parent, "-", "_"), "01" + parent[2:] + "x",
	} {
		if got := continueTrace(bad); got != "" {
			t.Errorf("%q continues as %q", bad, got)
		}
	}
}

func FuzzContinueTrace(f *testing.F) {
	f.Add("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	f.Add("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more")
	f.Fuzz(func(t *testing.T, parent string) {
		if got := continueTrace(parent); got != "" && (len(got) != 55 || got[3:35] != parent[3:35] || continueTrace(got) == "") {
			t.Errorf("%q continues as %q", parent, got)
		}
	})
}

func TestValidateHeaders(t *testing.T) {
	good := hook.Headers{{Name: "Authorization", Value: "Bearer abc"}, {Name: "X-Custom", Value: "a\tb é"}, {Name: "user-agent", Value: ""}}
	if p := ValidateHeaders(good); p != nil {
		t.Errorf("%v", p)
	}
	bad := hook.Headers{
		{Name: "", Value: "x"}, {Name: "a b", Value: "x"}, {Name: "a:b", Value: "x"}, {Name: "é", Value: "x"},
		{Name: "X", Value: "s3cr3t\r\nEvil: 1"}, {Name: "X", Value: "s3cr3t\n"}, {Name: "X", Value: "s3cr3t\r"}, {Name: "X", Value: "s3cr3t\x00"}, {Name: "X", Value: "s3cr3t\x7f"},
		{Name: "Connection", Value: "x"}, {Name: "Transfer-Encoding", Value: "x"}, {Name: "TE", Value: "x"}, {Name: "Upgrade", Value: "x"},
		{Name: "Proxy-Authorization", Value: "x"}, {Name: "Host", Value: "x"}, {Name: "content-length", Value: "x"}, {Name: "Content-Type", Value: "x"},
		{Name: "Webhook-Signature", Value: "x"}, {Name: "X-Switchhook-Selector", Value: "x"}, {Name: "ce-id", Value: "x"}, {Name: "Nats-Msg-Id", Value: "x"},
	}
	problems := ValidateHeaders(append(good, bad...))
	if len(problems) != len(bad) {
		t.Errorf("%d problems, want %d: %v", len(problems), len(bad), problems)
	}
	for i, p := range problems {
		if p.Index != i+len(good) || strings.Contains(p.Message, "s3cr3t") || strings.ContainsAny(p.Message, "\r\n") {
			t.Errorf("problem %d: %+v", i, p)
		}
	}
}

func TestEncodeValue(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "",
		"push/octocat/Hello-World": "push/octocat/Hello-World",
		"100%25 of it":             "100%25 of it",
		"a\r\nb":                   "a%0D%0Ab",
		"zürich":                   "z%C3%BCrich",
		" x ":                      "%20x%20",
		" ":                        "%20",
		"a\x00":                    "a%00",
	} {
		if got := encodeValue(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func testDelivery() *hook.Delivery {
	return &hook.Delivery{
		ID: "dlv_1", Subscription: "demo/orders", Workspace: "demo", Integration: "shop", Webhook: "events", Connector: "acme",
		ReceivedAt: time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.FixedZone("", 3600)), State: hook.Pending,
		Event: &hook.Event{ID: "evt_1", RequestID: "req_1", Selector: "order.created/42", Payload: []byte(`{"n": 9007199254740993}`)},
	}
}

func TestSubjectAndTopic(t *testing.T) {
	for _, c := range []struct{ template, selector, kind, workspace, subject, topic string }{
		{"hooks.{selector}", "push/octocat/Hello-World", "", "demo", "hooks.push.octocat.Hello-World", "hooks.push.octocat.Hello-World"},
		{"{workspace}.{type}", "invoice.paid/acct_1", "", "demo", "demo.invoice_paid", "demo.invoice.paid"},
		{"{type}", "x", "order.created", "demo", "order_created", "order.created"},
		{"{selector}", "a//b", "", "demo", "a._.b", "a..b"},
		{"{selector}", "", "", "demo", "_", "_"},
		{"{selector}", "evil.>/*/a b\r\nPUB x/\x00", "", "demo", "evil__._.a_b__PUB_x._", "evil._._.a_b__PUB_x._"},
		{"{selector}", "größe/\xff", "", "demo", "größe._", "gr__e._"},
		{"{workspace}", "x", "", "a.b/c", "a_b.c", "a.b.c"},
		{"fixed", "x", "", "demo", "fixed", "fixed"},
	} {
		d := testDelivery()
		d.Event.Selector, d.Event.Type, d.Workspace = c.selector, c.kind, c.workspace
		if got, err := subject(c.template, d); err != nil || got != c.subject {
			t.Errorf("subject %q of %q: %q, %v; want %q", c.template, c.selector, got, err, c.subject)
		}
		if got, err := topic(c.template, d); err != nil || got != c.topic {
			t.Errorf("topic %q of %q: %q, %v; want %q", c.template, c.selector, got, err, c.topic)
		}
	}
	for template, want := range map[string]string{
		"":         "it is empty",
		"{other}":  "{other} is unknown; there are {selector}, {type} and {workspace}",
		"a.{type":  "{type is not closed",
		"{}":       "{} is unknown; there are {selector}, {type} and {workspace}",
		"a{type}b": "",
	} {
		err := ValidateTemplate(template)
		if got := ""; err != nil && err.Error() != want || err == nil && got != want {
			t.Errorf("%q: %v, want %q", template, err, want)
		}
	}
	d := testDelivery()
	d.Event.Selector = strings.Repeat("x", 300)
	if _, err := topic("{selector}", d); err == nil {
		t.Error("a topic of 300 characters is accepted")
	}
}

func FuzzSubject(f *testing.F) {
	f.Add("hooks.{selector}", "push/octocat")
	f.Add("{type}.{workspace}", "a b/>/*")
	f.Add("{", "}")
	f.Fuzz(func(t *testing.T, template, selector string) {
		d := testDelivery()
		d.Event.Selector = selector
		if s, err := subject("x.{selector}.{type}", d); err != nil || strings.ContainsAny(s, " \t\r\n*>") || strings.Contains(s, "..") || strings.HasSuffix(s, ".") {
			t.Errorf("%q: %q %v", selector, s, err)
		}
		_, serr := subject(template, d)
		if verr := ValidateTemplate(template); template != "" && (serr == nil) != (verr == nil) {
			t.Errorf("%q: %v, validated: %v", template, serr, verr)
		}
	})
}

func TestCloudEvent(t *testing.T) {
	d := testDelivery()
	var event map[string]any
	if err := json.Unmarshal(cloudEvent(d), &event); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"specversion": "1.0", "id": "evt_1", "source": "/demo/shop/events", "type": "order.created", "subject": "order.created/42",
		"time": "2026-01-02T02:04:05.6Z", "datacontenttype": "application/json",
	} {
		if event[name] != want {
			t.Errorf("%s is %v, want %v", name, event[name], want)
		}
	}
	if !strings.Contains(string(cloudEvent(d)), `"data":{"n": 9007199254740993}}`) {
		t.Error("the payload is not there byte for byte")
	}
	d.Event.Selector, d.Event.Type = `a "b"/50%é`, "order created"
	sub := toURL("http://a")
	sub.Destination.CloudEvents = "binary"
	c, err := newHTTP(Options{Now: time.Now}).call(sub, d)
	if err != nil {
		t.Fatal(err)
	}
	h := c.request().Header
	if got := h.Get("ce-subject"); got != "a%20%22b%22/50%25%C3%A9" {
		t.Errorf("ce-subject is %q", got)
	}
	if got := h.Get("ce-type"); got != "order%20created" {
		t.Errorf("ce-type is %q", got)
	}
}

func TestClean(t *testing.T) {
	sub := &hook.Subscription{Destination: hook.Destination{
		URL:     "https://user:pa55word@example.com/x?key=topsecret",
		Secrets: []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
		Headers: hook.Headers{{Name: "Authorization", Value: "Bearer hush"}},
	}}
	got := clean("Post \"https://user:pa55word@example.com/x?key=topsecret\":\r\n MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw Bearer hush \x1b[31m", sub)
	for _, s := range []string{"pa55word", "topsecret", "MfKQ9r8", "hush", "\n", "\x1b"} {
		if strings.Contains(got, s) {
			t.Errorf("%q contains %q", got, s)
		}
	}
	if got := clean(strings.Repeat("é", 1000), sub); len(got) > 520 {
		t.Errorf("%d bytes", len(got))
	}
}
