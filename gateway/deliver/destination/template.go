package destination

import (
	"fmt"
	"strings"

	"switchhook/gateway/hook"
)

// ValidateTemplate returns what is wrong with the template of a nats subject
// or kafka topic; nil when it can be used. It may contain {selector}, {type}
// and {workspace}.
func ValidateTemplate(template string) error {
	if template == "" {
		return fmt.Errorf("it is empty")
	}
	_, err := expand(template, func(name string) (string, bool) {
		return "", name == "selector" || name == "type" || name == "workspace"
	})
	return err
}

// expand replaces each {name} by what value returns for it.
func expand(template string, value func(name string) (string, bool)) (string, error) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(template, "{")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		name, after, closed := strings.Cut(rest, "}")
		v, known := value(name)
		switch {
		case !closed:
			return "", fmt.Errorf("{%s is not closed", rest)
		case !known:
			return "", fmt.Errorf("{%s} is unknown; there are {selector}, {type} and {workspace}", name)
		}
		b.WriteString(v)
		template = after
	}
}

// subject is the nats subject of a delivery. A / of the selector becomes the . that
// separates the tokens of a subject, so push/octocat/* can be consumed as
// push.octocat.*; what may not stand in a token becomes _, an empty one too.
// What the template itself says stays as it is.
func subject(template string, d *hook.Delivery) (string, error) {
	return expandFor(template, d, func(s string) string {
		tokens := strings.Split(s, "/")
		for i, t := range tokens {
			tokens[i] = token(t, func(r rune) bool {
				return r > ' ' && r != 0x7f && r != '.' && r != '*' && r != '>'
			})
		}
		return strings.Join(tokens, ".")
	})
}

// topic is the kafka topic of a delivery: letters, digits, ., _ and -, at most
// 249 of them. A / becomes ., everything else _.
func topic(template string, d *hook.Delivery) (string, error) {
	t, err := expandFor(template, d, func(s string) string {
		return token(strings.ReplaceAll(s, "/", "."), func(r rune) bool {
			return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '.' || r == '_' || r == '-'
		})
	})
	switch {
	case err != nil:
		return "", err
	case len(t) > 249:
		return "", fmt.Errorf("the topic is %d characters long; 249 are allowed", len(t))
	case t == "." || t == ".." || t == "":
		return "", fmt.Errorf("%q cannot be a topic", t)
	}
	return t, nil
}

func token(s string, allowed func(rune) bool) string {
	if s == "" {
		return "_"
	}
	return strings.Map(func(r rune) rune {
		if r == '\uFFFD' || !allowed(r) {
			return '_'
		}
		return r
	}, s)
}

func expandFor(template string, d *hook.Delivery, sanitise func(string) string) (string, error) {
	return expand(template, func(name string) (string, bool) {
		switch name {
		case "selector":
			return sanitise(d.Event.Selector), true
		case "type":
			return sanitise(eventType(d)), true
		case "workspace":
			return sanitise(d.Workspace), true
		}
		return "", false
	})
}
