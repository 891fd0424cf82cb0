package bridge

import (
	"reflect"

	"github.com/dop251/goja"
)

// Class describes a JavaScript class whose instances have Go state.
type Class struct {
	Name string
	// Length is the number of parameters of the constructor.
	Length int
	// New makes the state of an instance; nil: scripts cannot construct it.
	New func(b *Bridge, call goja.ConstructorCall) any
	// Build makes the instance itself, instead of New.
	Build func(b *Bridge, call goja.ConstructorCall) *goja.Object
	// Methods, Accessors and Static are the members of prototype and constructor.
	Methods   Members
	Accessors map[string]Accessor
	Static    Members
	// Iterator names the method that is [Symbol.iterator] too.
	Iterator string
	// Parent is the class whose prototype stands behind this one's.
	Parent *Class
}

// Accessor is a property of instances that is computed.
type Accessor struct {
	Get func(b *Bridge, state any) goja.Value
	// Set is nil for a property that is read-only.
	Set func(b *Bridge, state any, v goja.Value)
}

type class struct {
	constructor, proto *goja.Object
}

// slot is the object behind an instance: its Go state, and what scripts put on it.
type slot struct {
	state any
	names []string
	extra map[string]goja.Value
}

var (
	slotType = reflect.TypeFor[*slot]()
	lazyType = reflect.TypeFor[*lazy]()
)

func (s *slot) Get(name string) goja.Value { return s.extra[name] }

func (s *slot) Has(name string) bool {
	_, ok := s.extra[name]
	return ok
}

func (s *slot) Set(name string, v goja.Value) bool {
	if v == nil {
		v = goja.Undefined()
	}
	if s.extra == nil {
		s.extra = make(map[string]goja.Value)
	}
	if _, ok := s.extra[name]; !ok {
		s.names = append(s.names, name)
	}
	s.extra[name] = v
	return true
}

func (s *slot) Delete(name string) bool {
	if _, ok := s.extra[name]; ok {
		delete(s.extra, name)
		for i, n := range s.names {
			if n == name {
				s.names = append(s.names[:i], s.names[i+1:]...)
				break
			}
		}
	}
	return true
}

func (s *slot) Keys() []string { return s.names }

// class builds constructor and prototype of c once in a runtime.
func (b *Bridge) class(c *Class) *class {
	if k := b.classes[c]; k != nil {
		return k
	}
	constructor := b.RT.ToValue(func(call goja.ConstructorCall) *goja.Object {
		defer b.Guard(c.Name)
		if c.Build != nil {
			return c.Build(b, call)
		}
		if c.New == nil {
			b.TypeError("ERR_ILLEGAL_CONSTRUCTOR", "Illegal constructor")
		}
		return b.instance(c.New(b, call), b.protoFor(call.NewTarget, b.class(c).proto))
	}).(*goja.Object)
	b.name(constructor, c.Name, c.Length)
	proto := constructor.Get("prototype").(*goja.Object)
	k := &class{constructor, proto}
	if b.classes == nil {
		b.classes = make(map[*Class]*class)
	}
	b.classes[c] = k

	if c.Parent != nil {
		_ = proto.SetPrototype(b.class(c.Parent).proto)
		_ = constructor.SetPrototype(b.class(c.Parent).constructor)
	}
	if len(c.Accessors) > 0 {
		_ = proto.SetPrototype(b.accessors(c, proto.Prototype()))
	}
	if len(c.Methods) > 0 {
		_ = b.Extend(proto, c.Methods)
	}
	if len(c.Static) > 0 {
		_ = b.Extend(constructor, c.Static)
	}
	if c.Iterator != "" {
		_ = proto.DefineDataPropertySymbol(goja.SymIterator, proto.Get(c.Iterator), goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	}
	_ = proto.DefineDataPropertySymbol(goja.SymToStringTag, b.String(c.Name), goja.FLAG_FALSE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	return k
}

// accessors makes the object behind a prototype that answers for computed properties. A
// native proxy does it without a function object for each: it is told the receiver.
func (b *Bridge) accessors(c *Class, parent *goja.Object) *goja.Object {
	target := b.RT.CreateObject(parent)
	state := func(receiver goja.Value) any {
		s, ok := b.state(receiver)
		if !ok || !b.isA(receiver, c) {
			b.badThis(c.Name)
		}
		return s
	}
	proxy := b.RT.NewProxy(target, &goja.ProxyTrapConfig{
		Get: func(target *goja.Object, name string, receiver goja.Value) goja.Value {
			defer b.Guard(name)
			if a, ok := c.Accessors[name]; ok {
				return a.Get(b, state(receiver))
			}
			if o, ok := receiver.(*goja.Object); ok && name == "__proto__" {
				if proto := o.Prototype(); proto != nil {
					return proto
				}
				return goja.Null()
			}
			return target.Get(name)
		},
		Set: func(_ *goja.Object, name string, v, receiver goja.Value) bool {
			defer b.Guard(name)
			if a, ok := c.Accessors[name]; ok {
				s := state(receiver)
				if a.Set == nil {
					return false
				}
				a.Set(b, s, v)
				return true
			}
			o, ok := receiver.(*goja.Object)
			return ok && o.DefineDataProperty(name, v, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_TRUE) == nil
		},
		Has: func(target *goja.Object, name string) bool {
			_, ok := c.Accessors[name]
			return ok || target.Get(name) != nil
		},
	})
	return b.RT.ToValue(proxy).(*goja.Object)
}

// protoFor is the prototype of what is constructed with a new.target.
func (b *Bridge) protoFor(newTarget, proto *goja.Object) *goja.Object {
	if newTarget != nil {
		if p, ok := newTarget.Get("prototype").(*goja.Object); ok {
			return p
		}
	}
	return proto
}

func (b *Bridge) instance(state any, proto *goja.Object) *goja.Object {
	o := b.RT.NewDynamicObject(&slot{state: state})
	_ = o.SetPrototype(proto)
	return o
}

// Constructor is the constructor of c in this runtime.
func (b *Bridge) Constructor(c *Class) *goja.Object { return b.class(c).constructor }

// Prototype is the prototype of c in this runtime.
func (b *Bridge) Prototype(c *Class) *goja.Object { return b.class(c).proto }

// Wrap makes an instance of c around state.
func (b *Bridge) Wrap(c *Class, state any) *goja.Object {
	return b.instance(state, b.class(c).proto)
}

func (b *Bridge) state(v goja.Value) (any, bool) {
	o, ok := v.(*goja.Object)
	if !ok || o.ExportType() != slotType {
		return nil, false
	}
	return o.Export().(*slot).state, true
}

// isA is for classes that share a type of state: it looks for the prototype of c. Scripts can change
// prototypes, so nothing rests on it but the error that is thrown.
func (b *Bridge) isA(v goja.Value, c *Class) bool {
	proto := b.class(c).proto
	for o, n := v.(*goja.Object), 0; o != nil && n < 1000; o, n = o.Prototype(), n+1 {
		if o == proto {
			return true
		}
	}
	return false
}

// State returns the Go state of type T behind an instance.
func State[T any](b *Bridge, v goja.Value) (T, bool) {
	s, ok := b.state(v)
	if !ok {
		var zero T
		return zero, false
	}
	t, ok := s.(T)
	return t, ok
}

// This returns the state behind the receiver of a method of the class name; it throws for a
// receiver of another kind.
func This[T any](b *Bridge, call goja.FunctionCall, name string) T {
	t, ok := State[T](b, call.This)
	if !ok {
		b.badThis(name)
	}
	return t
}

func (b *Bridge) badThis(name string) {
	b.TypeError("ERR_INVALID_THIS", "Value of \"this\" must be of type %s", name)
}

// IsInstance says whether o is an instance of a class of this package.
func IsInstance(o *goja.Object) bool { return o.ExportType() == slotType }
