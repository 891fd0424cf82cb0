package console_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"switchhook/gateway/hook"
	"switchhook/gateway/ingest"
)

// contract checks answers against the OpenAPI document that the console serves.
type contract struct {
	document   any
	operations map[string]map[string]any // "GET /api/v1/..." -> operation

	mu       sync.Mutex
	compiler *jsonschema.Compiler
	schemas  map[string]*jsonschema.Schema
}

const documentURL = "http://gateway/api/openapi.json"

// theContract is that of any console; they all serve the same.
var theContract = sync.OnceValues(func() (*contract, error) {
	w := httptestRecorder()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(w))
	if err != nil {
		return nil, err
	}
	c := &contract{document: document, operations: map[string]map[string]any{}, compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{}}
	for path, item := range document.(map[string]any)["paths"].(map[string]any) {
		for method, operation := range item.(map[string]any) {
			if method != "parameters" {
				c.operations[strings.ToUpper(method)+" "+path] = operation.(map[string]any)
			}
		}
	}
	strict(document)
	return c, c.compiler.AddResource(documentURL, document)
})

// strict forbids what the document does not name: answers must be described whole.
func strict(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, object := v["properties"].(map[string]any); object && v["additionalProperties"] == nil {
			v["additionalProperties"] = false
		}
		for _, child := range v {
			strict(child)
		}
	case []any:
		for _, child := range v {
			strict(child)
		}
	}
}

// operation is the one that a request is for; "" for none.
func (c *contract) operation(method, path string) string {
	best := ""
	for name := range c.operations {
		m, template, _ := strings.Cut(name, " ")
		want, got := strings.Split(template, "/"), strings.Split(path, "/")
		if m != method || len(want) != len(got) || !slices.EqualFunc(want, got, func(w, g string) bool {
			return w == g || strings.HasPrefix(w, "{") && g != ""
		}) {
			continue
		}
		if best == "" || strings.Count(name, "{") < strings.Count(best, "{") {
			best = name
		}
	}
	return best
}

// check returns what is wrong with an answer.
func (c *contract) check(r *http.Request, status int, header http.Header, body string) error {
	name := c.operation(r.Method, r.URL.Path)
	if name == "" {
		if r.URL.Path == "/" || strings.HasPrefix(r.URL.Path, "/assets/") {
			return nil // pages
		}
		if status != 404 && status != 405 && status != 401 {
			return fmt.Errorf("%s %s is not in the document, and is answered %d", r.Method, r.URL.Path, status)
		}
		return nil
	}
	method, path, _ := strings.Cut(name, " ")
	responses := c.operations[name]["responses"].(map[string]any)
	code := strconv.Itoa(status)
	if responses[code] == nil {
		code = "default"
	}
	at := []string{"paths", path, strings.ToLower(method), "responses", code}
	response, _ := responses[code].(map[string]any)
	if response == nil {
		return fmt.Errorf("%s: the status %d is not in the document", name, status)
	}
	if ref, ok := response["$ref"].(string); ok {
		at = strings.Split(strings.TrimPrefix(ref, "#/"), "/")
		response = c.document.(map[string]any)["components"].(map[string]any)["responses"].(map[string]any)[at[2]].(map[string]any)
	}
	content, _ := response["content"].(map[string]any)
	if len(content) == 0 {
		if body != "" {
			return fmt.Errorf("%s: %d has a body: %s", name, status, body)
		}
		return nil
	}
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil || content[media] == nil {
		return fmt.Errorf("%s: the content type %q of %d is not in the document", name, header.Get("Content-Type"), status)
	}
	if !strings.HasSuffix(media, "json") {
		return nil
	}
	schema, err := c.schema(append(at, "content", media, "schema"))
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := schema.Validate(value); err != nil {
		return fmt.Errorf("%s, status %d: %#v", name, status, err)
	}
	return nil
}

func (c *contract) schema(at []string) (*jsonschema.Schema, error) {
	pointer := documentURL + "#"
	for _, part := range at {
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(part)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.schemas[pointer]; s != nil {
		return s, nil
	}
	s, err := c.compiler.Compile(pointer)
	c.schemas[pointer] = s
	return s, err
}

func httptestRecorder() []byte {
	w := &answerRecorder{header: http.Header{}}
	newBare().ServeHTTP(w, request("GET", "/api/openapi.json", ""))
	return w.body.Bytes()
}

type answerRecorder struct {
	header http.Header
	body   bytes.Buffer
}

func (a *answerRecorder) Header() http.Header         { return a.header }
func (a *answerRecorder) WriteHeader(int)             {}
func (a *answerRecorder) Write(b []byte) (int, error) { return a.body.Write(b) }

// TestDocument compares the document with what is served.
func TestDocument(t *testing.T) {
	c, err := theContract()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, works, loopback, "")
	routes := w.console.Routes()
	for _, route := range routes {
		if c.operations[route] == nil {
			t.Errorf("%s is served, and not in the document", route)
		}
	}
	ids := map[string]string{}
	for name, operation := range c.operations {
		if !slices.Contains(routes, name) {
			t.Errorf("%s is in the document, and not served", name)
		}
		id, _ := operation["operationId"].(string)
		if id == "" || operation["summary"] == nil || operation["tags"] == nil {
			t.Errorf("%s: operationId, summary or tags are missing", name)
		}
		if ids[id] != "" {
			t.Errorf("%s and %s are both %s", name, ids[id], id)
		}
		ids[id] = name
		// Every parameter that the document names is taken: a list says so when it knows none.
		for _, p := range c.parameters(operation) {
			if p["in"] != "query" {
				continue
			}
			method, path, _ := strings.Cut(name, " ")
			if strings.Contains(path, "{") || method != "GET" || !strings.HasPrefix(path, "/api/v1") || path == "/api/v1/stream" {
				continue
			}
			code, text, _ := w.send(request(method, path+"?"+p["name"].(string)+"=", ""))
			if code != 200 && strings.Contains(text, "is not known here") {
				t.Errorf("%s: %s", name, text)
			}
		}
	}
	// All references lead somewhere, and all schemas are used.
	text, _ := json.Marshal(c.document)
	for name := range c.document.(map[string]any)["components"].(map[string]any)["schemas"].(map[string]any) {
		if _, err := c.schema([]string{"components", "schemas", name}); err != nil {
			t.Error(err)
		}
		if !bytes.Contains(text, []byte(`"#/components/schemas/`+name+`"`)) && !slices.Contains([]string{"Turned", "StreamedAttempt", "Change"}, name) {
			t.Errorf("nothing refers to the schema %s", name)
		}
	}
}

func (c *contract) parameters(operation map[string]any) (list []map[string]any) {
	all, _ := operation["parameters"].([]any)
	for _, p := range all {
		p := p.(map[string]any)
		if ref, ok := p["$ref"].(string); ok {
			name := ref[strings.LastIndex(ref, "/")+1:]
			p = c.document.(map[string]any)["components"].(map[string]any)["parameters"].(map[string]any)[name].(map[string]any)
		}
		list = append(list, p)
	}
	return list
}

// TestContract calls every operation; send checks the answers.
func TestContract(t *testing.T) {
	w := newWorld(t, "export default () => { console.log('hello'); throw new Error('boom') }", loopback, "")
	c, err := theContract()
	if err != nil {
		t.Fatal(err)
	}
	failed := w.receive(`{"id": 1}`)
	w.load(works)
	first := w.receive(`{"id": 2}`)
	const sub = `{"integration":"shop","selector":"order/*","filter":{"id":3},"destination":{"type":"http","url":"https://example.com/in?key=destination-secret",
		"headers":{"X-Any":"destination-secret"},"secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}}`
	seen := map[string]bool{}
	call := func(method, path, body string, status int) {
		t.Helper()
		code, text, _ := w.send(request(method, path, body))
		if code != status {
			t.Errorf("%s %s: status %d, not %d: %s", method, path, code, status, text)
		}
		plain, _, _ := strings.Cut(path, "?")
		seen[c.operation(method, plain)] = true
	}
	const api = "/api/v1"
	call("GET", "/healthz", "", 200)
	call("GET", "/readyz", "", 503)
	call("GET", "/readyz?verbose", "", 503)
	call("GET", "/metrics", "", 200)
	call("GET", "/api/openapi.json", "", 200)
	call("GET", "/integrations/shop/global-webhooks", "", 200)
	call("GET", "/integrations/shop/global-webhooks?workspace=other", "", 404)
	call("POST", api+"/subscriptions", `{"workspace":"main","name":"other",`+sub[1:], 201)
	call("PUT", api+"/subscriptions/main/made", sub, 201)
	call("PUT", api+"/subscriptions/main/made", sub, 200)
	call("PUT", api+"/subscriptions/main/made?keepSecrets=perhaps", sub, 400)
	call("GET", api+"/subscriptions", "", 200)
	call("GET", api+"/subscriptions/main/made", "", 200)
	call("POST", api+"/subscriptions/main/made/pause", "", 200)
	call("POST", api+"/subscriptions/main/made/resume", "", 200)
	call("POST", api+"/subscriptions/main/made/enable", "", 200)
	call("POST", api+"/subscriptions/main/made/test", "", 200)
	call("POST", api+"/subscriptions/main/made/test", `{"payload":[1,2],"selector":"a/b"}`, 200)
	call("POST", api+"/subscriptions/main/made/test", `{"paylod":[1,2]}`, 400)
	w.receive(`{"id": 3}`)
	call("GET", api+"/destinations", "", 200)
	call("GET", api+"/destinations/main/made", "", 200)
	call("GET", api+"/overview", "", 200)
	call("GET", api+"/status", "", 200)
	call("GET", api+"/requests?status=2xx&outcome=accepted", "", 200)
	call("GET", api+"/requests?status=700", "", 400)
	call("GET", api+"/requests/"+failed, "", 200)
	call("GET", api+"/requests/"+first, "", 200)
	call("GET", api+"/requests/"+first+"/body", "", 200)
	call("GET", api+"/requests/"+first+"/explain", "", 200)
	call("GET", api+"/requests/"+first+"/fixture", "", 200)
	call("GET", api+"/requests/none/fixture", "", 404)
	call("GET", api+"/requests/"+failed+"/explain?subscription=main/made", "", 200)
	call("GET", api+"/requests/"+first+"/explain?event=none", "", 404)
	call("POST", api+"/requests/"+first+"/replay?dryRun=true", "", 200)
	call("POST", api+"/requests/"+failed+"/replay", "", 200)
	w.activity.Turned(ingest.Turned{ID: "req_9", Workspace: "main", Integration: "shop", Webhook: "events", Connector: "shop", Method: "POST", Path: "/x",
		Kind: "unverified", Reason: "the signature does not match", Status: 401, Headers: hook.Headers{{Name: "Authorization", Value: "header-secret"}}})
	call("GET", api+"/turned?kind=unverified&workspace=main", "", 200)
	call("GET", api+"/turned?kind=nothing", "", 400)
	if got := items(w.call("GET", "/turned", "", 200)); len(got) != 1 || len(items(w.call("GET", "/turned?webhook=other", "", 200))) != 0 {
		t.Errorf("turned: %v", got)
	}
	call("GET", api+"/deliveries", "", 200)
	delivery := w.deliver.offered[0].ID
	call("GET", api+"/deliveries/"+delivery, "", 200)
	call("POST", api+"/deliveries/"+delivery+"/replay", "", 200)
	call("POST", api+"/replay", `{"subscription":"main/fixed","state":"pending"}`, 200)
	call("GET", api+"/connectors", "", 200)
	call("GET", api+"/connectors/shop", "", 200)
	w.load("export default (")
	call("GET", api+"/connectors/shop", "", 200)
	call("GET", api+"/connectors?state=stale", "", 200)
	call("GET", api+"/reloads", "", 200)
	call("GET", api+"/stream?kinds=nothing", "", 400)
	call("GET", api+"/webhooks/main/shop/events/pair", "", 409)
	call("POST", api+"/webhooks/main/shop/events/pair", "", 200)
	call("POST", api+"/webhooks/main/shop/none/pair", "", 404)
	call("GET", api+"/webhooks/main/shop/events/pair", "", 200)
	call("DELETE", api+"/subscriptions/main/made", "", 204)
	call("GET", api+"/audit", "", 200)
	for name := range c.operations {
		if !seen[name] {
			t.Errorf("%s was not called", name)
		}
	}
}
