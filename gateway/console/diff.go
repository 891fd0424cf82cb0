package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"switchhook/gateway/hook"
)

// difference is how one event of now differs from one that is stored.
type difference struct {
	// Kind is "same", "removed", "added" or "changed".
	Kind string `json:"kind"`
	// Before is the stored event, After that of now; absent where there is none.
	Before *event `json:"before,omitempty"`
	After  *event `json:"after,omitempty"`
	// Changes are the places that differ, at most maxChanges; only of "changed".
	Changes []changedValue `json:"changes,omitempty"`
}

// changedValue is one place in an event. Before or After is absent where there is no value.
type changedValue struct {
	// Path is "type", "id", or "payload" and the place in it, such as "payload.items[2].sku".
	Path   string          `json:"path"`
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
}

const maxChanges = 100

// diff compares the events of two runs. Their order says nothing; an event may
// come several times. Those that are the same come first to one another, then
// those of the same selector.
func diff(stored, now []*hook.Event) []difference {
	left := slices.Clone(now)
	shown := eventViewer{shownPayloads}
	take := func(same func(*hook.Event) bool) *hook.Event {
		i := slices.IndexFunc(left, func(e *hook.Event) bool { return e != nil && same(e) })
		if i < 0 {
			return nil
		}
		e := left[i]
		left[i] = nil
		return e
	}
	list := make([]difference, len(stored), len(stored)+len(now))
	pairs := make([]*hook.Event, len(stored))
	for i, s := range stored {
		pairs[i] = take(func(e *hook.Event) bool {
			return e.Selector == s.Selector && e.Type == s.Type && e.Key == s.Key && bytes.Equal(e.Payload, s.Payload)
		})
	}
	for i, s := range stored {
		before := shown.view(s)
		list[i] = difference{Kind: "same", Before: &before}
		if pairs[i] == nil {
			pairs[i] = take(func(e *hook.Event) bool { return e.Selector == s.Selector })
			list[i].Kind = "changed"
		}
		if pairs[i] == nil {
			list[i].Kind = "removed"
			continue
		}
		after := shown.view(pairs[i])
		list[i].After = &after
		if list[i].Kind == "changed" {
			if list[i].Changes = changes(s, pairs[i]); len(list[i].Changes) == 0 {
				list[i].Kind = "same" // but for white space and the order of keys
			}
		}
	}
	for _, e := range left {
		if e != nil {
			after := shown.view(e)
			list = append(list, difference{Kind: "added", After: &after})
		}
	}
	return list
}

func changes(before, after *hook.Event) []changedValue {
	var c comparison
	if before.Type != after.Type {
		c.add("type", before.Type, after.Type)
	}
	if before.Key != after.Key {
		c.add("id", before.Key, after.Key)
	}
	if max(len(before.Payload), len(after.Payload)) > shownPayloads {
		if !bytes.Equal(before.Payload, after.Payload) {
			c.add("payload", missing{}, missing{}) // it is too large to say where
		}
		return c
	}
	c.compare("payload", parse(before.Payload), parse(after.Payload))
	return c
}

// comparison gathers the places in which two values differ.
type comparison []changedValue

// missing stands for no value.
type missing struct{}

func (c *comparison) add(path string, before, after any) {
	if len(*c) < maxChanges {
		*c = append(*c, changedValue{path, encode(before), encode(after)})
	}
}

func encode(v any) json.RawMessage {
	if _, none := v.(missing); none {
		return nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // it came from JSON
	return bytes.TrimSpace(b.Bytes())
}

// parse keeps numbers as they are written.
func parse(payload []byte) any {
	d := json.NewDecoder(bytes.NewReader(viewPayload(payload)))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return missing{} // payloads are valid JSON
	}
	return v
}

func (c *comparison) compare(path string, before, after any) {
	if len(*c) >= maxChanges {
		return
	}
	switch b := before.(type) {
	case map[string]any:
		if a, ok := after.(map[string]any); ok {
			for _, key := range sortedKeys(b, a) {
				c.compare(path+"."+key, member(b, key), member(a, key))
			}
			return
		}
	case []any:
		if a, ok := after.([]any); ok {
			for i := range max(len(a), len(b)) {
				c.compare(fmt.Sprintf("%s[%d]", path, i), item(b, i), item(a, i))
			}
			return
		}
	default:
		switch after.(type) {
		case map[string]any, []any:
		default:
			if before == after {
				return
			}
		}
	}
	c.add(path, before, after)
}

func member(m map[string]any, key string) any {
	if v, ok := m[key]; ok {
		return v
	}
	return missing{}
}

func item(list []any, i int) any {
	if i < len(list) {
		return list[i]
	}
	return missing{}
}

func sortedKeys(a, b map[string]any) []string {
	keys := make([]string, 0, len(a))
	for k := range a {
		keys = append(keys, k)
	}
	for k := range b {
		if _, both := a[k]; !both {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, strings.Compare)
	return keys
}
