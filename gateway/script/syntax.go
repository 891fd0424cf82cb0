package script

import (
	"reflect"

	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/parser"
)

// bundleName is the name of a program's code in goja's stack frames; a NUL keeps
// it apart from any name that code could give itself.
const bundleName = "\x00bundle"

// parseBundle parses the code of a program. Source map comments in it are not
// followed, because goja would read files for them.
func parseBundle(code []byte) (*ast.Program, error) {
	return parser.ParseFile(nil, bundleName, code, 0, parser.WithDisableSourceMaps)
}

// walk calls visit for node and all nodes below it, in order of the source; below those
// for which it returns false it does not go. Nodes are pointers to the struct types of goja/ast.
func walk(node any, visit func(node any) bool) {
	if node == nil {
		return
	}
	w := walker{visit: visit}
	w.value(reflect.ValueOf(node))
}

type walker struct{ visit func(any) bool }

func (w *walker) value(v reflect.Value) {
	switch v.Kind() {
	case reflect.Interface:
		if !v.IsNil() {
			w.value(v.Elem())
		}
	case reflect.Pointer:
		if v.IsNil() || v.Elem().Kind() != reflect.Struct {
			return
		}
		if w.visit(v.Interface()) {
			w.fields(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			w.value(v.Index(i))
		}
	case reflect.Struct:
		w.fields(v)
	}
}

func (w *walker) fields(v reflect.Value) {
	t := v.Type()
	for i := range t.NumField() {
		switch t.Field(i).Name {
		case "DeclarationList", "File": // say again what the body says
			continue
		}
		switch f := v.Field(i); f.Kind() {
		case reflect.Interface, reflect.Pointer, reflect.Slice, reflect.Struct:
			w.value(f)
		}
	}
}
