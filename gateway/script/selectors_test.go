package script_test

import (
	"slices"
	"strings"
	"testing"

	"switchhook/gateway/script"
)

func TestSelectors(t *testing.T) {
	for name, c := range map[string]struct{ code, want string }{
		"a template":        {"export default ({ data }) => ({ events: [{ selector: `${data.type}/${data.shop}`, payload: data }] })", "**/**"},
		"a word":            {"export default function handle() { return { events: [{ selector: 'push', payload: 1 }] } }", "push"},
		"stars":             {"export default () => ({ events: [{ selector: 'a*\\\\b', payload: 1 }] })", `a\*\\b`},
		"conditions":        {"export default ({ data }) => ({ events: data ? [{ selector: data.x ? 'a' : 'b' + data.y, payload: 1 }] : [] })", "a b**"},
		"a name":            {"const prefix = 'order.'\nexport default ({ data }) => { const type = prefix + data.type; return { events: [{ selector: type, payload: 1 }] } }", "order.**"},
		"a name that moves": {"export default ({ data }) => { let type = 'a'; if (data) type = data.type; return { events: [{ selector: type, payload: 1 }] } }", "**"},
		"a function":        {"const one = (type, x) => ({ selector: ['x', type].join('/'), payload: x })\nexport default async ({ data }) => ({ events: data.map((d) => one(d.type, d)) })", "x/**"},
		"several returns":   {"export default ({ data }) => { if (!data) return; if (data.p) return { response: { status: 204 } }; return { events: data.list.filter(Boolean).flatMap((d) => d.many.map((m) => ({ selector: `m.${m}`, payload: m }))) } }", "m.**"},
		"pushed":            {"export default ({ data }) => { const events = []; for (const d of data) events.push({ selector: 'p/' + d, payload: d }); return { events } }", "p/**"},
		"spread":            {"export default ({ data }) => ({ events: [...data.map((d) => ({ ...d, selector: 's', payload: d })), { selector: 't', payload: 1 }] })", "s t"},
		"fallback":          {"export default ({ data }) => ({ events: [{ selector: `t/${data.x ?? '-'}`, payload: 1 }] })", "t/** t/-"},

		"what came":         {"export default ({ data }) => data", ""},
		"events that came":  {"export default ({ data }) => ({ events: data.events })", ""},
		"spread over":       {"export default ({ data }) => ({ events: [{ selector: 'a', ...data }] })", ""},
		"made bit by bit":   {"export default ({ data }) => { const e = { selector: 'a', payload: 1 }; e.selector = data.x; return { events: [e] } }", ""},
		"assigned":          {"export default ({ data }) => { const e = { selector: 'a', payload: 1 }; Object.assign(e, data); return { events: [e] } }", ""},
		"passed on":         {"function fill(list, d) { list.push(d) }\nexport default ({ data }) => { const events = [{ selector: 'a', payload: 1 }]; fill(events, data); return { events } }", ""},
		"computed":          {"export default ({ data }) => ({ events: [{ ['sel' + 'ector']: data.x, payload: 1 }] })", ""},
		"declared twice":    {"const make = (d) => ({ selector: 'a', payload: d })\nexport default ({ data }) => { const f = (make) => make(data); return { events: [make(data), f((d) => d)] } }", ""},
		"CommonJS":          {"module.exports = () => ({ events: [{ selector: 'a', payload: 1 }] })", ""},
		"no events":         {"export default () => ({ response: { status: 200 } })", ""},
		"an object's value": {"const make = { a: (d) => d }\nexport default ({ data }) => ({ events: [make.a(data)] })", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p, list := script.Build(script.Source{Connector: "acme", Function: script.HandleFunction, Code: c.code, File: "acme.yml", Line: 1, Column: 1})
			if list.HasErrors() {
				t.Fatal(list)
			}
			got := p.Selectors()
			slices.Sort(got)
			if strings.Join(got, " ") != c.want {
				t.Errorf("Selectors = %q, want %q", got, c.want)
			}
		})
	}
}
