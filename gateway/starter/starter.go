// Package starter writes what an author of connectors starts from: the files of a
// new connector, and those that editors need (types for handlers, JSON Schemas for
// YAML). cli's commands new and types use it.
package starter

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"switchhook/spec"
)

// EditorFolder is the folder of a connector that has the files for editors. It is never
// part of what the gateway loads.
const EditorFolder = ".switchhook"

// Connector is what is asked about a new connector.
type Connector struct {
	// Key is a valid key of a connector, and Name for people.
	Key, Name string
	// Language is "js" or "ts".
	Language string
	// Scheme is one of Schemes, and Header the header with the signature or token, where the scheme has one.
	Scheme, Header string
}

// Languages that handlers are written in.
var Languages = []string{"js", "ts"}

// scheme is how a new connector verifies its requests.
type scheme struct {
	about string
	// header: it has one of its own.
	header bool
	// verify is the block's lines behind the scheme's name, with %s for the header.
	verify string
	// parameters are the lines of parametersSchema's properties, required their names, and
	// fixture what they are in a fixture; "" where they are left out.
	parameters, required, fixture string
	// secret is what configuration.md says of it.
	secret string
}

const sharedSecret = `    secret:
      type: [string, array]
      items: {type: string, minLength: 1}
      minLength: 1
      minItems: 1
      description: The webhook's secret; a list while it is being changed
`

const publicKey = `    publicKey:
      type: string
      minLength: 1
      description: The provider's public key
`

const keyText = "The provider's public key is the parameter `publicKey`."

func signed(about string) scheme {
	return scheme{about: about, header: true, verify: "  header: %s\n  secret: parameters.secret\n", parameters: sharedSecret, required: "secret",
		fixture: "{secret: s3cret}", secret: "Make up a long random string, type it in at the provider, and give it as the parameter `secret`."}
}

func keyed(about string) scheme {
	return scheme{about: about, header: true, verify: "  header: %s\n  publicKey: parameters.publicKey\n", parameters: publicKey, required: "publicKey", secret: keyText}
}

var schemes = map[string]scheme{
	"hmac-sha1":   signed("a keyed hash of the body, HMAC with SHA-1"),
	"hmac-sha256": signed("a keyed hash of the body, HMAC with SHA-256: the most usual one"),
	"hmac-sha512": signed("a keyed hash of the body, HMAC with SHA-512"),
	"ed25519":     keyed("a signature of the body, Ed25519"),
	"ecdsa-p256":  keyed("a signature of the body, ECDSA with P-256 and SHA-256"),
	"rsa-sha256":  keyed("a signature of the body, RSA with SHA-256"),
	"token": {about: "a secret that is sent as it is", header: true, verify: "  header: %s\n  secret: parameters.secret\n", parameters: sharedSecret, required: "secret",
		fixture: "{secret: s3cret}", secret: "The token that the provider sends is the parameter `secret`."},
	"standard-webhooks": {about: "the specification of https://www.standardwebhooks.com (Svix and others)", verify: "  secret: parameters.secret\n", parameters: sharedSecret,
		required: "secret", fixture: "{secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}", secret: "The provider shows a secret that begins with `whsec_`: the parameter `secret`."},
	"basic": {about: "HTTP basic authentication", verify: "  username: parameters.username\n  password: parameters.password\n",
		parameters: "    username: {type: string, minLength: 1}\n    password: {type: string, minLength: 1}\n", required: "username, password",
		fixture: "{username: ada, password: s3cret}", secret: "User name and password are the parameters of the same names."},
	"none": {about: "anybody who knows the URL is believed", secret: "Requests are not verified: keep the URL to yourself."},
}

// Schemes are the ways to verify that a new connector can begin with, sorted, each with what it is.
func Schemes() (names []string, about map[string]string) {
	about = map[string]string{}
	for name, s := range schemes {
		about[name] = s.about
	}
	return slices.Sorted(maps.Keys(schemes)), about
}

// HasHeader tells whether a scheme has a header of its own to be named.
func HasHeader(scheme string) bool { return schemes[scheme].header }

// NameFor is a name for people made of a key: "acme-shop" is Acme Shop.
func NameFor(key string) string {
	words := strings.FieldsFunc(key, func(r rune) bool { return strings.ContainsRune("-._", r) })
	for i, w := range words {
		words[i] = strings.ToUpper(w[:1]) + w[1:]
	}
	return strings.Join(words, " ")
}

// HeaderFor is a header's name made of a key: "acme-shop" signs in X-Acme-Shop-Signature.
func HeaderFor(key, scheme string) string {
	what := "Signature"
	if scheme == "token" {
		what = "Token"
	}
	return "X-" + strings.ReplaceAll(NameFor(strings.ReplaceAll(key, "_", "-")), " ", "-") + "-" + what
}

// Files are the files of the connector, by path with slashes, without those for editors.
func (c Connector) Files() map[string][]byte {
	s := schemes[c.Scheme]
	files := map[string][]byte{}
	add := func(path, schema, text string) {
		if schema != "" {
			up := strings.Repeat("../", strings.Count(path, "/"))
			if up == "" {
				up = "./"
			}
			text = fmt.Sprintf("# yaml-language-server: $schema=%s%s/%s.schema.json\n", up, EditorFolder, schema) + text
		}
		files[path] = []byte(text)
	}
	parameters := ""
	if s.parameters != "" {
		parameters = "# What an integration must give; secrets belong here.\nparametersSchema:\n  type: object\n  required: [" + s.required + "]\n  properties:\n" + s.parameters
	}
	add("spec.yml", "connector", fmt.Sprintf("key: %s\nname: %s\ndescription: %s\n%s", c.Key, yamlText(c.Name), yamlText("Webhooks of "+c.Name), parameters))

	verify := "verify: none\n"
	if c.Scheme != "none" {
		verify = "# Checked on the raw bytes, before the body is parsed and before handle runs.\nverify:\n  scheme: " + c.Scheme + "\n"
		if s.header {
			verify += fmt.Sprintf(s.verify, c.Header)
		} else {
			verify += s.verify
		}
	}
	add("global-webhooks/events/spec.yml", "global-webhook", "name: Events\n"+verify+"methods:\n  handle:\n    implementationType: javascript\n")
	if c.Language == "ts" {
		add("global-webhooks/events/handle.ts", "", handlerTS)
	} else {
		add("global-webhooks/events/handle.js", "", handlerJS)
	}
	add("events/any/spec.yml", "event", eventSpec)
	add("fixtures/events.yml", "fixtures", c.fixtures(s))
	add("configuration.md", "", fmt.Sprintf(configuration, c.Name, c.Name, s.secret))
	add("tsconfig.json", "", tsconfig)
	return files
}

// yamlText is a string as a value of its own.
func yamlText(s string) string {
	if strings.ContainsAny(s, ":#{}[]&*!|>'\"%@`,") || strings.TrimSpace(s) != s || s == "" {
		return "\"" + strings.NewReplacer("\\", "\\\\", "\"", "\\\"").Replace(s) + "\""
	}
	return s
}

func (c Connector) fixtures(s scheme) string {
	var b strings.Builder
	one := func(name, request, expect string) {
		fmt.Fprintf(&b, "- name: %s\n", name)
		if s.fixture != "" {
			fmt.Fprintf(&b, "  parameters: %s\n", s.fixture)
		}
		fmt.Fprintf(&b, "  request: %s\n  expect: %s\n\n", request, expect)
	}
	sign := ", sign: true"
	if c.Scheme == "none" {
		sign = ""
	} else if s.fixture == "" {
		b.WriteString("# The public key is left out of the parameters: a pair of keys is made for the run.\n")
	}
	one("an order becomes an event", "{json: {id: evt_1, type: order.created, account: acct_1, total: 5}"+sign+"}",
		"\n    response: {status: 200}\n    events:\n      - selector: order.created/acct_1\n        type: order.created\n        id: evt_1\n        payload: {total: 5}")
	one("a body that is no event", "{json: {hello: world}"+sign+"}", "{outcome: refused, response: {status: 400}, events: []}")
	if c.Scheme != "none" {
		one("a wrong signature", "{json: {type: order.created}, sign: tampered}", "{outcome: unverified, response: {status: 401}, events: []}")
		one("no signature", "{json: {type: order.created}}", "{outcome: unverified, response: {status: 401}, events: []}")
	}
	return strings.ReplaceAll(strings.TrimRight(b.String(), "\n"), "expect: \n", "expect:\n") + "\n"
}

const handlerJS = `/**
 * Makes an event of each request. The selector is how subscriptions find it: the type first,
 * then whose it is, so that "order.created/*" is every created order.
 *
 * @param {Switchhook.Request} request
 * @returns {Switchhook.Result}
 */
export default function handle({ data }) {
  if (typeof data?.type !== 'string') throw new HttpError(400, 'the body is not an event')
  return {
    events: [{ selector: ` + "`${data.type}/${data.account ?? '-'}`" + `, type: data.type, id: data.id, payload: data }],
  }
}
`

const handlerTS = `/** What the provider sends; describe what you use of it. */
interface Message {
  id?: string
  type?: string
  account?: string
}

/**
 * Makes an event of each request. The selector is how subscriptions find it: the type first,
 * then whose it is, so that "order.created/*" is every created order.
 */
export default function handle({ data }: Switchhook.Request<Switchhook.Parameters, Message | undefined>): Switchhook.Result {
  if (typeof data?.type !== 'string') throw new HttpError(400, 'the body is not an event')
  return {
    events: [{ selector: ` + "`${data.type}/${data.account ?? '-'}`" + `, type: data.type, id: data.id, payload: data }],
  }
}
`

const eventSpec = `name: Any event
implementationType: global-webhook
webhook: events
selector: ${parameters.type:-*}/${parameters.account:-**}
parametersSchema:
  type: object
  properties:
    type: {type: string, description: "Such as order.created; * stands for any letters"}
    account: {type: string, description: "Whose events; all when absent"}
`

const configuration = `# %s

## Where the URL goes

Copy the URL that ` + "`switchhook urls`" + ` prints for this integration into the webhook settings of %s.

## Where the secret is

%s

## How to send a test

Say here how the provider sends one. From this machine ` + "`switchhook send fixtures/events.yml`" + ` posts the first fixture, signed.

## What comes out

Events have the selector ` + "`<type>/<account>`" + `, such as ` + "`order.created/acct_1`" + `. The field ` + "`id`" + ` is the dedupe key.
`

const tsconfig = `{
  "compilerOptions": {
    "target": "ES2021", "lib": ["ES2021"], "types": [], "module": "esnext", "moduleResolution": "bundler", "moduleDetection": "force",
    "allowJs": true, "checkJs": true, "noEmit": true, "strict": true, "paths": {"*": ["./*"]}
  },
  "include": ["**/*.js", "**/*.ts", "` + EditorFolder + `/switchhook.d.ts"]
}
`

// schemaNames are those that the files of a connector refer to.
var schemaNames = []string{"connector", "global-webhook", "event", "fixtures"}

// WriteEditor writes the files for editors into the folder of a connector, and returns their paths. Files that are as
// they should be are left alone.
func WriteEditor(c *spec.Connector) ([]string, error) {
	files := map[string][]byte{"switchhook.d.ts": c.Types()}
	for _, name := range schemaNames {
		files[name+".schema.json"] = spec.JSONSchema(name)
	}
	return write(filepath.Join(c.Root, EditorFolder), files)
}

// WriteSchemas writes the JSON Schemas of config.yaml, fixtures and connectors in one file into a folder beside
// them, and returns their paths.
func WriteSchemas(folder string) ([]string, error) {
	files := map[string][]byte{}
	for _, name := range []string{"config", "fixtures", "connector-file"} {
		files[name+".schema.json"] = spec.JSONSchema(name)
	}
	return write(filepath.Join(folder, EditorFolder), files)
}

func write(folder string, files map[string][]byte) ([]string, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("writing files for editors: %w", err)
	}
	var written []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(folder, name)
		if there, err := os.ReadFile(path); err == nil && bytes.Equal(there, files[name]) {
			continue
		}
		if err := os.WriteFile(path, files[name], 0o644); err != nil {
			return written, fmt.Errorf("writing files for editors: %w", err)
		}
		written = append(written, path)
	}
	return written, nil
}

// Write writes a new connector to folder, which must not exist yet, and the files for
// editors. When it fails nothing of it is left.
func (c Connector) Write(folder string) (err error) {
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		return fmt.Errorf("making the folder: %w", err)
	}
	if err := os.Mkdir(folder, 0o755); err != nil {
		return fmt.Errorf("making the folder: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(folder) // the first error matters
		}
	}()
	files := c.Files()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("making the folder: %w", err)
		}
		if err := os.WriteFile(path, files[name], 0o644); err != nil {
			return fmt.Errorf("writing the connector: %w", err)
		}
	}
	loaded, list := spec.Load(folder)
	if err := list.Err(); err != nil {
		return fmt.Errorf("what was written is not a connector: %w", err)
	}
	_, err = WriteEditor(loaded)
	return err
}
