package handshake_test

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"switchhook/gateway/body"
	"switchhook/gateway/handshake"
	"switchhook/gateway/hook"
	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

var update = flag.Bool("update", false, "rewrite testdata/*.golden")

func parse(t testing.TB, yaml string, hasFunction bool) (*handshake.Handshake, diagnostic.List) {
	t.Helper()
	doc, list := document.Parse("spec.yml", []byte(yaml))
	if list.HasErrors() {
		t.Fatalf("YAML: %v\n%s", list, yaml)
	}
	return handshake.Parse(doc.Root, hasFunction)
}

func mustParse(t testing.TB, yaml string) *handshake.Handshake {
	t.Helper()
	h, list := parse(t, yaml, strings.Contains(yaml, "function: true"))
	if len(list) > 0 {
		t.Fatalf("Parse: %v\n%s", list, yaml)
	}
	return h
}

// request makes a request; headers are name, value, name, value, ...
func request(method, query, content string, headers ...string) *hook.Request {
	req := &hook.Request{Method: method, URL: "https://gw.example/h/app?" + query, Path: "/h/app", Query: query, Body: []byte(content)}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Headers = append(req.Headers, hook.Header{Name: headers[i], Value: headers[i+1]})
	}
	return req
}

func parsed(req *hook.Request) func() *body.Parsed {
	return func() *body.Parsed { return body.Parse(req.Headers.Get("Content-Type"), req.Body) }
}

func answer(h *handshake.Handshake, req *hook.Request, parameters string) (*hook.Response, map[string]string, bool, error) {
	reply, err := h.Answer(req, parsed(req)(), json.RawMessage(parameters), map[string]string{"kept": "k3pt"})
	return reply.Response, reply.Remember, reply.UseFunction, err
}

// vectorHandshakes has the YAML for each published handshake, by its id.
var vectorHandshakes = map[string]struct {
	yaml     string
	verified bool
	function bool
	remember map[string]string
	// request, where the vector has none of its own.
	body    string
	headers []string
	// others are requests that are no handshakes.
	others []*hook.Request
}{
	"slack-url-verification": {yaml: `{when: {method: POST, body: {type: url_verification}}, respond: {text: "{body.challenge}"}}`,
		others: []*hook.Request{request("POST", "", `{"type":"event_callback","challenge":"x"}`), request("GET", "", `{"type":"url_verification"}`), request("POST", "", "")}},
	"zoom-url-validation": {yaml: `{when: {body: {event: endpoint.url_validation}}, function: true}`, function: true,
		others: []*hook.Request{request("POST", "", `{"event":"meeting.started"}`)}},
	"msgraph-validation": {yaml: `{when: {query: {validationToken: {$exist: true}}}, respond: {text: "{query.validationToken}"}}`,
		others: []*hook.Request{request("POST", "", `{}`), request("POST", "validation=x", `{}`)}},
	"meta-verify": {yaml: `
when: {method: GET, query: {hub.mode: subscribe}}
require: {query.hub.verify_token: parameters.verifyToken}
respond: {text: "{query.hub.challenge}"}`,
		others: []*hook.Request{request("POST", "hub.mode=subscribe", ``), request("GET", "hub.mode=unsubscribe", ``), request("GET", "hub=mode", ``)}},
	"dropbox-challenge": {yaml: `{when: {method: GET, query: {challenge: {$exist: true}}}, respond: {text: "{query.challenge}"}}`,
		others: []*hook.Request{request("GET", "", ""), request("POST", "challenge=x", "")}},
	"asana-handshake": {yaml: `
when: {method: POST, headers: {x-hook-secret: {$exist: true}}}
respond: {headers: {X-Hook-Secret: "{header.x-hook-secret}"}}
remember: {hookSecret: header.X-Hook-Secret}`, remember: map[string]string{"hookSecret": "b537207f20cbfa02357cf448134da559e8bd39d61597dcd5631b8012eae53e81"},
		others: []*hook.Request{request("POST", "", `{"events":[]}`, "X-Hook-Signature", "00")}},
	"monday-challenge": {yaml: `{when: {body: {challenge: {$exist: true}}}, respond: {json: {challenge: "{body.challenge}"}}}`,
		others: []*hook.Request{request("POST", "", `{"event":{"challenge":"x"}}`)}},
	"twitch-challenge": {yaml: `{verified: true, when: {headers: {twitch-eventsub-message-type: webhook_callback_verification}}, respond: {text: "{body.challenge}"}}`, verified: true,
		body: `{"challenge":"pogchamp-kappa-360noscope-vohiyo","subscription":{}}`, headers: []string{"Twitch-Eventsub-Message-Type", "webhook_callback_verification"},
		others: []*hook.Request{request("POST", "", `{}`, "Twitch-Eventsub-Message-Type", "notification")}},
	"discord-ping": {yaml: `{verified: true, when: {body: {type: 1}}, respond: {json: {type: 1}}}`, verified: true, body: `{"type":1}`,
		others: []*hook.Request{request("POST", "", `{"type":2}`)}},
	"x-crc":       {yaml: `{when: {method: GET, query: {crc_token: {$exist: true}}}, function: true}`, function: true},
	"okta-verify": {yaml: `{when: {method: GET, headers: {x-okta-verification-challenge: {$exist: true}}}, respond: {json: {verification: "{header.x-okta-verification-challenge}"}}}`},
	"eventgrid": {yaml: `{when: {headers: {aeg-event-type: SubscriptionValidation}}, respond: {json: {validationResponse: "{body[0].data.validationCode}"}}}`,
		others: []*hook.Request{request("POST", "", `[]`, "aeg-event-type", "Notification")}},
	"sns-subscribe": {yaml: `
verified: true
when: {headers: {x-amz-sns-message-type: SubscriptionConfirmation}}
confirm: {field: SubscribeURL, allow: ["https://sns.*.amazonaws.com/"]}
respond: {status: 200}`, verified: true, body: `{"SubscribeURL":"https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&Token=2336"}`},
	"notion-token": {yaml: `{when: {body: {verification_token: {$exist: true}}}, remember: {verificationToken: body.verification_token}, show: [verificationToken], respond: {}}`,
		remember: map[string]string{"verificationToken": "secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"}},
	"adyen-accepted": {yaml: `{verified: true, when: {body: {notificationItems: {NotificationRequestItem: {eventCode: REPORT_AVAILABLE}}}}, respond: {text: "[accepted]"}}`, verified: true,
		body: `{"notificationItems":[{"NotificationRequestItem":{"eventCode":"REPORT_AVAILABLE"}}]}`},
	"trello-head": {yaml: `{when: {method: HEAD}, respond: {status: 200}}`, others: []*hook.Request{request("POST", "", "{}"), request("GET", "", "")}},
}

func TestPublishedHandshakes(t *testing.T) {
	raw, err := os.ReadFile("../verify/testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Handshakes []struct {
			ID, Key string
			Request struct {
				Method, URL, Body string
				Headers           map[string]string
			}
			Response struct {
				Status      int
				ContentType string `json:"content_type"`
				Headers     map[string]string
				Body        string
				JSON        any
			}
		}
	}
	if err := json.Unmarshal(raw, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors.Handshakes) != len(vectorHandshakes) {
		t.Errorf("%d handshakes, %d declared", len(vectors.Handshakes), len(vectorHandshakes))
	}
	for _, v := range vectors.Handshakes {
		t.Run(v.ID, func(t *testing.T) {
			declared, ok := vectorHandshakes[v.ID]
			if !ok {
				t.Fatal("not declared")
			}
			h := mustParse(t, declared.yaml)
			method := v.Request.Method
			if method == "" {
				method = "POST"
			}
			_, query, _ := strings.Cut(v.Request.URL, "?")
			content := v.Request.Body + declared.body
			req := request(method, query, content, append([]string{"Content-Type", "application/json"}, declared.headers...)...)
			for name, value := range v.Request.Headers {
				req.Headers = append(req.Headers, hook.Header{Name: name, Value: value})
			}
			if h.Matches(req, parsed(req)) == declared.verified || h.MatchesVerified(req, parsed(req)) != declared.verified {
				t.Fatalf("Matches = %v, MatchesVerified = %v, verified = %v", h.Matches(req, parsed(req)), h.MatchesVerified(req, parsed(req)), declared.verified)
			}
			for _, other := range declared.others {
				if h.Matches(other, parsed(other)) || h.MatchesVerified(other, parsed(other)) {
					t.Errorf("%+v is taken for a handshake", other)
				}
				if _, _, _, err := answer(h, other, "{}"); !errors.Is(err, handshake.ErrNone) {
					t.Errorf("Answer = %v, want ErrNone", err)
				}
			}
			resp, remember, useFunction, err := answer(h, req, `{"verifyToken": "`+v.Key+`"}`)
			if err != nil || useFunction != declared.function {
				t.Fatalf("Answer: function %v, %v", useFunction, err)
			}
			if diff := cmp.Diff(declared.remember, remember); diff != "" {
				t.Error(diff)
			}
			if useFunction {
				if resp != nil {
					t.Errorf("a response beside the function: %+v", resp)
				}
				return
			}
			if resp.Status != v.Response.Status {
				t.Errorf("status %d, want %d", resp.Status, v.Response.Status)
			}
			if v.Response.ContentType != "" && !strings.HasPrefix(resp.Headers.Get("Content-Type"), v.Response.ContentType) {
				t.Errorf("Content-Type %q, want %q", resp.Headers.Get("Content-Type"), v.Response.ContentType)
			}
			for name, value := range v.Response.Headers {
				if got := resp.Headers.Get(name); got != value {
					t.Errorf("%s: %q, want %q", name, got, value)
				}
			}
			if v.Response.JSON != nil {
				var got any
				if err := json.Unmarshal(resp.Body, &got); err != nil || !reflect.DeepEqual(got, v.Response.JSON) {
					t.Errorf("body %s, want %v", resp.Body, v.Response.JSON)
				}
				if got := resp.Headers.Get("Content-Type"); got != "application/json" {
					t.Errorf("Content-Type %q", got)
				}
			} else if string(resp.Body) != v.Response.Body {
				t.Errorf("body %q, want %q", resp.Body, v.Response.Body)
			}
			if len(resp.Body) > 0 && resp.Headers.Get("X-Content-Type-Options") != "nosniff" {
				t.Error("without nosniff")
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	meta := vectorHandshakes["meta-verify"].yaml
	const other = `{when: {method: GET}, require: {header.x-a: fixed, query.b: state.kept, method: GET}, else: 401, respond: {status: 204}}`
	reflectYAML := `{when: {method: GET}, respond: {headers: {X-Echo: "<{query.a}>"}, text: "{query.b?}"}}`
	rememberYAML := `{when: {method: GET}, remember: {x: query.a}, respond: {}}`
	long := strings.Repeat("a", handshake.MaxReflected+1)
	tests := []struct {
		yaml, parameters string
		req              *hook.Request
		status           int
		reason           string // "" for an answer
	}{
		{meta, `{"verifyToken":"t"}`, request("GET", "hub.mode=subscribe&hub.verify_token=t&hub.challenge=1", ""), 200, ""},
		{meta, `{"verifyToken":"t"}`, request("GET", "hub.mode=subscribe&hub.verify_token=T&hub.challenge=1", ""), 403, "query.hub.verify_token is not what parameters.verifyToken says"},
		{meta, `{"verifyToken":"t"}`, request("GET", "hub.mode=subscribe&hub.challenge=1", ""), 403, "query.hub.verify_token is not"},
		{meta, `{"verifyToken":"t"}`, request("GET", "hub.mode=subscribe&hub.verify_token=x&hub.verify_token=t", ""), 403, "query.hub.verify_token is not"},
		{meta, `{}`, request("GET", "hub.mode=subscribe&hub.verify_token=&hub.challenge=1", ""), 403, "query.hub.verify_token is not"},
		{meta, `{"verifyToken":""}`, request("GET", "hub.mode=subscribe&hub.verify_token=&hub.challenge=1", ""), 403, "query.hub.verify_token is not"},
		{meta, `{"verifyToken":"t"}`, request("GET", "hub.mode=subscribe&hub.verify_token=t", ""), 400, "query parameter hub.challenge is missing"},
		{meta, `{"verifyToken":"t"}`, request("GET", "hub.mode=subscribe&hub.verify_token=t&hub.challenge="+long, ""), 400, "longer than 4096 bytes"},
		{other, `{}`, request("GET", "b=k3pt", "", "X-A", "fixed"), 204, ""},
		{other, `{}`, request("GET", "b=k3pt", "", "X-A", "fixe"), 401, "header.x-a is not what it has to be"},
		{other, `{}`, request("GET", "b=kept", "", "X-A", "fixed"), 401, "query.b is not what state.kept says"},
		{reflectYAML, `{}`, request("GET", "a=x", ""), 200, ""},
		{reflectYAML, `{}`, request("GET", "a=x%0d%0aSet-Cookie:y", ""), 400, "the value for header X-Echo has control characters"},
		{reflectYAML, `{}`, request("GET", "a=x%00", ""), 400, "control characters"},
		{reflectYAML, `{}`, request("GET", "a="+long, ""), 400, "longer than"},
		{rememberYAML, `{}`, request("GET", "a=x", ""), 200, ""},
		{rememberYAML, `{}`, request("GET", "a=", ""), 400, "query.a is empty"},
		{rememberYAML, `{}`, request("GET", "", ""), 400, "query parameter a is missing"},
		{rememberYAML, `{}`, request("GET", "a="+long, ""), 400, "longer than"},
		{`{when: {method: GET}, respond: {json: {a: ["{query.a}"]}}}`, `{}`, request("GET", "a="+long, ""), 400, "longer than"},
		{`{when: {method: GET}, respond: {json: {a: ["{body.a}"]}}}`, `{}`, request("GET", "", `{"a":`+strings.Repeat("1", handshake.MaxReflected+1)+`}`), 400, "longer than"},
		{`{when: {method: GET}, respond: {json: {a: "{body.a}"}}}`, `{}`, request("GET", "", `{"a":{}}`), 400, "body.a is a map, not a string"},
	}
	for _, test := range tests {
		h := mustParse(t, test.yaml)
		resp, remember, useFunction, err := answer(h, test.req, test.parameters)
		if resp == nil || resp.Status != test.status || useFunction {
			t.Errorf("%s with %q: %+v, function %v", test.yaml, test.req.Query, resp, useFunction)
			continue
		}
		if test.reason == "" {
			if err != nil {
				t.Errorf("Answer: %v", err)
			}
			continue
		}
		refused, ok := errors.AsType[*handshake.Refused](err)
		if !ok || !strings.Contains(refused.Reason, test.reason) || remember != nil {
			t.Errorf("Answer = %v, %v, want %q", remember, err, test.reason)
		}
		if !strings.HasPrefix(resp.Headers.Get("Content-Type"), "text/plain") || resp.Headers.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("headers of a refusal: %v", resp.Headers)
		}
	}
}

// A URL to be called is one that is allowed, whatever its query.
func TestConfirm(t *testing.T) {
	h := mustParse(t, `
verified: true
when: {method: POST, body: {token: t}}
confirm: {field: url, allow: ["https://sns.*.amazonaws.com/", "https://sns.*.amazonaws.com.cn/", "https://api.example.com/confirm/*"]}
respond: {text: thanks}
remember: {token: body.token}`)
	at := func(url string) *hook.Request {
		return request("POST", "", `{"url":`+string(gjson.AppendJSONString(nil, url))+`,"token":"t"}`)
	}
	for _, url := range []string{
		"https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=arn:aws:sns:us-east-1:1:t&Token=2336",
		"https://sns.cn-north-1.amazonaws.com.cn/", "https://api.example.com/confirm/5?a=/../", "https://api.example.com/confirm/5?",
	} {
		reply, err := h.Answer(at(url), parsed(at(url))(), nil, nil)
		want := handshake.Reply{Confirm: url, Remember: map[string]string{"token": "t"}, Response: reply.Response}
		if diff := cmp.Diff(want, reply); diff != "" || err != nil || string(reply.Response.Body) != "thanks" {
			t.Errorf("%s: %v\n%s", url, err, diff)
		}
	}
	for _, url := range []string{
		"", "http://sns.us-east-1.amazonaws.com/?a", "https://sns.evil.com/?x=.amazonaws.com/", "https://evil.com/?https://sns.us-east-1.amazonaws.com/",
		"https://sns.us-east-1.amazonaws.com.evil.com/", "https://user@sns.us-east-1.amazonaws.com/?a", "https://sns.us-east-1.amazonaws.com:444/?a",
		"https://sns.us-east-1.amazonaws.com", "https://sns.us-east-1.amazonaws.com/x?a", "https://sns.us-east-1.amazonaws.com/?a#b", "https://sns.us-east-1.amazonaws.com/?a b",
		"https://sns.us-east-1.amazonaws.com/?a\r\nHost: b", "https://sns.us-east-1.amazonaws.com/?\u00e9", "https://sns.a.b.amazonaws.com/", "https://sns.x\\.amazonaws.com/",
		"https://api.example.com/confirm/../admin", "https://api.example.com/confirm/..", "https://api.example.com/confirm/%2e%2e", "https://sns.us-east-1.amazonaws.com/?" + strings.Repeat("a", handshake.MaxReflected),
	} {
		reply, err := h.Answer(at(url), parsed(at(url))(), nil, nil)
		if _, ok := errors.AsType[*handshake.Refused](err); !ok || reply.Confirm != "" || reply.Remember != nil || reply.Response.Status != 400 {
			t.Errorf("%q: %+v, %v", url, reply, err)
		}
	}
}

func TestReflectionIsNeverHTML(t *testing.T) {
	h := mustParse(t, `{when: {method: GET}, respond: {text: "{query.a}"}}`)
	resp, _, _, err := answer(h, request("GET", "a=%3Cscript%3E", ""), "{}")
	if err != nil {
		t.Fatal(err)
	}
	want := &hook.Response{Status: 200, Body: []byte("<script>"), Headers: hook.Headers{
		{Name: "Content-Type", Value: "text/plain; charset=utf-8"}, {Name: "X-Content-Type-Options", Value: "nosniff"}}}
	if diff := cmp.Diff(want, resp); diff != "" {
		t.Error(diff)
	}
}

func TestJSONAnswers(t *testing.T) {
	h := mustParse(t, `
when: {method: POST, body: {go: true}}
respond:
  status: 201
  headers: {X-Kind: "{{{body.kind}}}", Content-Type: application/json; charset=utf-8}
  json: {n: "{body.n}", t: "{body.go}", s: "{body.s}", both: "{body.n}{body.s}", none: null, list: [1, 9007199254740993, true, [], {}, "{{}}"], "k\"ey": "{header.x}"}`)
	req := request("POST", "", `{"go":true,"kind":"k","n":1.50,"s":"\"\u2028é"}`, "X", "\xff")
	resp, _, _, err := answer(h, req, "{}")
	if err != nil {
		t.Fatal(err)
	}
	want := `{"n":1.50,"t":true,"s":"\"\u2028é","both":"1.50\"\u2028é","none":null,"list":[1,9007199254740993,true,[],{},"{}"],"k\"ey":"�"}`
	if string(resp.Body) != want {
		t.Errorf("body\n%s, want\n%s", resp.Body, want)
	}
	if resp.Status != 201 || resp.Headers.Get("X-Kind") != "{k}" || resp.Headers.Get("Content-Type") != "application/json; charset=utf-8" || !json.Valid(resp.Body) {
		t.Errorf("%+v", resp)
	}
}

// Of several handshakes the first that fits answers; one that needs
// verification never answers in place of an unsigned one, nor before it.
func TestSeveral(t *testing.T) {
	h := mustParse(t, `
- {verified: true, when: {method: POST, headers: {x-kind: a}}, respond: {text: verified}}
- {when: {method: [GET, HEAD]}, respond: {text: get}}
- {when: {method: POST, query: {b: "1"}}, respond: {text: unsigned}}
- {when: {headers: {$or: [{x-kind: b}, {x-other: {$startsWith: "c, "}}]}}, respond: {text: or}}`)
	for _, test := range []struct {
		req               *hook.Request
		matches, verified bool
		text              string
	}{
		{request("HEAD", "", ""), true, false, "get"},
		{request("POST", "", "", "X-Kind", "a"), false, true, "verified"},
		{request("POST", "b=1", "", "X-Kind", "a"), true, true, "unsigned"},
		{request("POST", "b=1", ""), true, false, "unsigned"},
		{request("PUT", "", "", "X-KIND", "b"), true, false, "or"},
		{request("PUT", "", "", "x-other", "c", "X-Other", "d"), true, false, "or"},
		{request("PUT", "", "", "x-other", "c"), false, false, ""},
	} {
		if h.Matches(test.req, parsed(test.req)) != test.matches || h.MatchesVerified(test.req, parsed(test.req)) != test.verified {
			t.Errorf("%+v: %v, %v", test.req, h.Matches(test.req, parsed(test.req)), h.MatchesVerified(test.req, parsed(test.req)))
		}
		resp, _, _, err := answer(h, test.req, "{}")
		if test.text == "" {
			if !errors.Is(err, handshake.ErrNone) {
				t.Errorf("Answer = %v", err)
			}
		} else if err != nil || string(resp.Body) != test.text {
			t.Errorf("Answer = %+v, %v", resp, err)
		}
	}
}

func TestBodies(t *testing.T) {
	h := mustParse(t, `{when: {body: {type: ping}}, respond: {text: "{body.type}"}}`)
	for contentType, content := range map[string]string{
		"application/json": `{"type":"ping"}`, "": `{"type":"ping"}`, "text/plain": `{"type":"ping"}`, "application/x-www-form-urlencoded": "type=ping",
	} {
		req := request("POST", "", content, "Content-Type", contentType)
		if !h.Matches(req, parsed(req)) {
			t.Errorf("%q: no match", contentType)
		}
	}
	for contentType, content := range map[string]string{"text/plain": "ping", "application/json": `{"type":`, "": ""} {
		req := request("POST", "", content, "Content-Type", contentType)
		if h.Matches(req, parsed(req)) {
			t.Errorf("%q: a match", content)
		}
	}
	// The body is looked at only when the rest fits.
	quick := mustParse(t, `{when: {method: GET, query: {a: "1"}, body: {type: ping}}, respond: {}}`)
	never := func() *body.Parsed { t.Error("the body was parsed"); return &body.Parsed{} }
	if quick.Matches(request("POST", "a=1", ""), never) || quick.Matches(request("GET", "a=2", ""), never) {
		t.Error("a match")
	}
}

func TestUnverified(t *testing.T) {
	h := mustParse(t, `
- {when: {method: GET, query: {a: "1"}}, verified: true, else: 401, respond: {}}
- {when: {method: GET, query: {a: "2"}}, verified: true, respond: {}}
- {when: {method: GET, query: {a: "3"}}, require: {query.b: c}, else: 401, respond: {}}`)
	for query, want := range map[string]int{"a=1": 401, "a=2": 0, "a=3": 0, "a=4": 0} {
		if got := h.Unverified(request("GET", query, ""), func() *body.Parsed { return &body.Parsed{} }); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	h := mustParse(t, `
- {when: {method: GET}, require: {query.a: parameters.b.c, query.d: parameters.a, query.e: text}, remember: {z: query.z, y: query.y}, show: [z], respond: {}}
- {when: {method: HEAD}, remember: {z: query.z}, respond: {}}`)
	if diff := cmp.Diff([]string{"a", "b"}, h.ParameterNames()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"y", "z"}, h.StateNames()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"z"}, h.ShownNames()); diff != "" {
		t.Error(diff)
	}
}

var mistakes = []string{
	`~`,
	`[]`,
	`challenge`,
	`[{when: {method: GET}}, nothing]`,
	`{}`,
	`{wen: {method: GET}, respond: {}}`,
	`{when: {}, respond: {}}`,
	`{when: {method: POST}, respond: {}}`,
	`{when: {method: [GET, post, 5]}, respond: {}}`,
	`{when: {method: [], headers: [], query: x, body: {}}, respond: {}}`,
	`{when: {headers: {X-Hook-Secret: {$exist: true}, $or: [{X-A: b}, {x-b: c}]}}, respond: {}}`,
	`{when: {body: {a: {$exists: true}, b: [{c: {$gte: {}}}], "d.e": {$in: 5}}}, respond: {}}`,
	`{when: {method: GET}, else: 500, respond: {}}`,
	`{when: {method: GET}, require: {}, respond: {}}`,
	`{when: {method: GET}, require: {qurey.a: parameters.b, parameters.x: a, query.b: parameter.c, query.c: "", query.d: header.x, query.e: "parameters.a?", query.f: 5}, respond: {}}`,
	`{when: {method: GET}, respond: {status: 99, txt: a}}`,
	`{when: {method: GET}, respond: {text: "{challenge}", json: {a: "{parameters.secret}"}}}`,
	`{when: {method: GET}, respond: {json: {a: ["{parameters.secret}", "{state.x}", {b: "{qurey.c}"}]}}}`,
	`{when: {method: GET}, respond: {headers: {Set-Cookie: a, "X Y": b, Content-Type: text/html, X-A: "{body", "X-B?": c, content-length: "5"}}}`,
	`{when: {method: GET}, respond: {}, remember: {}}`,
	`{when: {method: GET}, respond: {}, remember: {a: query.b}, show: [A]}`,
	`{when: {method: GET}, respond: {}, show: a}`,
	`{when: {method: GET}, respond: {}, remember: {"a b": query.x, c: parameters.d, e: 5, f: x}}`,
	`{when: {method: GET}, function: yes please}`,
	`{when: {method: GET}, function: false}`,
	`{when: {method: GET}, function: true, respond: {}, remember: {a: query.b}}`,
	`{when: {method: GET}, respond: {}, verified: maybe}`,
	`{when: {method: GET}, respond: {}, confirm: {field: url, allow: ["https://a.example/"]}}`,
	`{verified: true, when: {method: GET}, respond: {}, confirm: {field: url, header: x, hosts: []}}`,
	`{verified: true, when: {method: GET}, respond: {}, confirm: {allow: ["http://a.example/", "https://*.com/", "https://a.example", 5]}}`,
	`{verified: true, when: {method: GET}, respond: {}, confirm: https://a.example/}`,
	`{verified: true, when: {method: GET}, function: true, confirm: {field: url, allow: ["https://a.example/"]}}`,
}

func TestMistakes(t *testing.T) {
	var b strings.Builder
	for _, yaml := range mistakes {
		h, list := parse(t, yaml, false)
		if h != nil || !list.HasErrors() {
			t.Errorf("no error for %s", yaml)
		}
		b.WriteString("# " + yaml + "\n")
		for _, d := range list {
			d.Snippet = diagnostic.Snippet{}
			if d.Line == 0 || d.Column == 0 || d.Code == "" {
				t.Errorf("without a place or code: %v", d)
			}
			b.WriteString(d.Error() + "\n")
		}
		b.WriteString("\n")
	}
	if *update {
		if err := os.WriteFile("testdata/mistakes.golden", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/mistakes.golden")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("mistakes.golden differs (go test -update rewrites it):\n%s", diff)
	}

	_, list := parse(t, `{when: {method: GET}, respond: {}}`, true)
	if len(list) != 1 || list[0].Severity != diagnostic.Warning || list[0].Code != "unused-function" {
		t.Errorf("an unused function: %v", list)
	}
}

// Whatever is declared and whatever comes, the answer is well formed.
func FuzzAnswer(f *testing.F) {
	for _, v := range vectorHandshakes {
		f.Add(v.yaml, "hub.mode=subscribe&hub.challenge=1", v.body, "application/json")
	}
	for _, yaml := range mistakes {
		f.Add(yaml, "a=b%0a", `{"a":1}`, "text/plain")
	}
	f.Fuzz(func(t *testing.T, yaml, query, content, contentType string) {
		doc, list := document.Parse("spec.yml", []byte(yaml))
		if list.HasErrors() {
			return
		}
		h, list := handshake.Parse(doc.Root, true)
		if (h == nil) != list.HasErrors() {
			t.Fatalf("handshake %v with %v", h, list)
		}
		if h == nil {
			return
		}
		for _, method := range []string{"GET", "HEAD", "POST"} {
			req := request(method, query, content, "Content-Type", contentType, "X-A", query)
			matches := h.Matches(req, parsed(req)) || h.MatchesVerified(req, parsed(req))
			resp, _, useFunction, err := answer(h, req, `{"verifyToken": "t"}`)
			if matches == errors.Is(err, handshake.ErrNone) || matches && (resp == nil) != useFunction {
				t.Fatalf("matches %v: %+v, %v, %v", matches, resp, useFunction, err)
			}
			if resp == nil {
				continue
			}
			if resp.Status < 200 || resp.Status > 599 {
				t.Fatalf("status %d", resp.Status)
			}
			for _, h := range resp.Headers {
				if strings.ContainsAny(h.Value, "\r\n\x00") || h.Name == "" {
					t.Fatalf("header %q: %q", h.Name, h.Value)
				}
			}
			if len(resp.Body) > 0 && (resp.Headers.Get("X-Content-Type-Options") != "nosniff" || strings.Contains(resp.Headers.Get("Content-Type"), "html")) {
				t.Fatalf("headers %v", resp.Headers)
			}
		}
	})
}

func BenchmarkMatches(b *testing.B) {
	h := mustParse(b, vectorHandshakes["asana-handshake"].yaml)
	req := request("POST", "", "{}", "Host", "gw.example", "User-Agent", "x", "Accept", "*/*", "Content-Type", "application/json", "X-Hook-Signature", "00")
	b.ReportAllocs()
	for b.Loop() {
		if h.Matches(req, nil) {
			b.Fatal("a match")
		}
	}
}
