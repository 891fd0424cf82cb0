package destination

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"switchhook/gateway/hook"
)

// The attributes of a delivery as a CloudEvent 1.0
// (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md): the id is the event's, the
// source /workspace/integration/webhook, the subject the selector, the time
// that of the request's arrival.

func cloudEventSource(d *hook.Delivery) string {
	return "/" + d.Workspace + "/" + d.Integration + "/" + d.Webhook
}

// eventType is the event's type; where the handler gave none, the first segment
// of the selector, which is the type in the selectors of most connectors.
func eventType(d *hook.Delivery) string {
	if d.Event.Type != "" {
		return d.Event.Type
	}
	if first, _, _ := strings.Cut(d.Event.Selector, "/"); first != "" {
		return first
	}
	return "event"
}

// cloudEventAttributes calls set for each attribute but datacontenttype, which
// all bindings have in content-type.
func cloudEventAttributes(d *hook.Delivery, set func(name, value string)) {
	set("specversion", "1.0")
	set("id", d.Event.ID)
	set("source", cloudEventSource(d))
	set("type", eventType(d))
	if d.Event.Selector != "" {
		set("subject", d.Event.Selector)
	}
	set("time", d.ReceivedAt.UTC().Format(time.RFC3339Nano))
}

// The content type of an event in structured mode.
const cloudEventType = "application/cloudevents+json; charset=utf-8"

// cloudEventBinding is how a kind of message carries the attributes in binary mode.
type cloudEventBinding struct {
	prefix string
	encode func(string) string
}

var (
	// Version 1.0.2 of the binding knows structured mode only, because NATS had no headers then; the
	// draft of the next one has them as HTTP does
	// (https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/nats-protocol-binding.md).
	natsBinding = cloudEventBinding{"ce-", cloudEventValue}
	// Header values are UTF-8 as they are
	// (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md).
	kafkaBinding = cloudEventBinding{"ce_", func(s string) string { return strings.ToValidUTF8(s, string(utf8.RuneError)) }}
)

// cloudEventValue percent-encodes as section 3.1.3.2 of the HTTP binding
// (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md) says:
// space, double quote, percent and everything outside of printable ASCII.
func cloudEventValue(s string) string {
	var b strings.Builder
	for _, c := range []byte(strings.ToValidUTF8(s, string(utf8.RuneError))) {
		if c <= ' ' || c == '"' || c == '%' || c >= 0x7f {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// cloudEvent is the event in structured mode; the payload stands in it byte
// for byte.
func cloudEvent(d *hook.Delivery) []byte {
	var b bytes.Buffer
	b.Grow(len(d.Event.Payload) + 512)
	b.WriteString(`{"datacontenttype":"application/json"`)
	cloudEventAttributes(d, func(name, value string) { member(&b, name, value) })
	b.WriteString(`,"data":`)
	b.Write(d.Event.Payload)
	b.WriteByte('}')
	return b.Bytes()
}

// member writes a comma and a member of a JSON object.
func member(b *bytes.Buffer, name, value string) {
	b.WriteString(`,"` + name + `":`)
	jsonString(b, value)
}

// jsonString writes a JSON string, without escaping <, > and &.
func jsonString(b *bytes.Buffer, s string) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string can always be encoded
	b.Truncate(b.Len() - 1)
}
