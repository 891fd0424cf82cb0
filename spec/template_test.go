package spec_test

import (
	"encoding/json"
	"strings"
	"testing"

	"switchhook/spec"
)

func TestTemplate(t *testing.T) {
	tests := []struct{ template, parameters, want, err string }{
		{"push", `{}`, "push", ""},
		{"push/${parameters.repository}", `{"repository":"octocat/Hello-World"}`, "push/octocat/Hello-World", ""},
		{"push/${parameters.repository}", `{"repository":"octocat/*"}`, "push/octocat/*", ""},
		{"${parameters.a}${parameters.b}", `{"a":"1","b":"2"}`, "12", ""},
		{"x/${parameters.n}", `{"n":12345678901234567890}`, "x/12345678901234567890", ""},
		{"x/${parameters.n}", `{"n":4.20}`, "x/4.20", ""},
		{"x/${parameters.b}", `{"b":true}`, "x/true", ""},
		{"x/${parameters.a.b}", `{"a":{"b":"c"}}`, "x/c", ""},
		{"x/${ parameters.a }", `{"a":"c"}`, "x/c", ""},
		{"x/${parameters.a:-*}", `{}`, "x/*", ""},
		{"x/${parameters.a:-*}", `{"a":""}`, "x/*", ""},
		{"x/${parameters.a:-*}", `{"a":null}`, "x/*", ""},
		{"x/${parameters.a:-}", `{}`, "x/", ""},
		{"x/${parameters.a:-b:-c}", `{}`, "x/b:-c", ""},
		{"x/$${y}$", `{}`, "x/${y}$", ""},
		{"x/$${${parameters.a}", `{"a":"z"}`, "x/${z", ""},
		{"é/${parameters.é}", `{"é":"ü"}`, "é/ü", ""},
		{"x/${parameters.a}", `{}`, "", `the selector needs the parameter "a"`},
		{"x/${parameters.a}", `{"a":""}`, "", `the selector needs the parameter "a"`},
		{"x/${parameters.a}", `null`, "", `the selector needs the parameter "a"`},
		{"x/${parameters.a.b}", `{"a":"s"}`, "", `the selector needs the parameter "a.b"`},
		{"x/${parameters.a}", `{"a":["1"]}`, "", `the selector needs the parameter "a" as a string, a number or a boolean`},
		{"x/${parameters.a:-d}", `{"a":{}}`, "", `the selector needs the parameter "a" as a string, a number or a boolean`},
	}
	for _, tt := range tests {
		template, err := spec.ParseTemplate(tt.template)
		if err != nil {
			t.Errorf("%s: %v", tt.template, err)
			continue
		}
		if template.String() != tt.template {
			t.Errorf("String() = %q, want %q", template, tt.template)
		}
		got, err := template.Expand(json.RawMessage(tt.parameters))
		message := ""
		if err != nil {
			message = err.Error()
		}
		if got != tt.want || message != tt.err {
			t.Errorf("%s with %s: got %q, %q; want %q, %q", tt.template, tt.parameters, got, message, tt.want, tt.err)
		}
	}
	for _, source := range []string{"x/${", "x/${parameters.a", "${}", "${a}", "${parameters}", "${parameters.}", "${parameters..a}", "${secret}"} {
		if _, err := spec.ParseTemplate(source); err == nil {
			t.Errorf("%s: no error", source)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add("push/${parameters.a:-b}/$${x}", `{"a":"b"}`)
	f.Add("${parameters.a.b}", `{"a":{"b":1e5}}`)
	f.Add("$${${", `[]`)
	f.Fuzz(func(t *testing.T, source, parameters string) {
		template, err := spec.ParseTemplate(source)
		if err != nil {
			return
		}
		got, err := template.Expand(json.RawMessage(parameters))
		if !strings.Contains(source, "${") && (err != nil || got != source) {
			t.Fatalf("%q: %q, %v", source, got, err)
		}
	})
}
