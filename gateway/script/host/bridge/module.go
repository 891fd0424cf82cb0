package bridge

import (
	"slices"

	"github.com/dop251/goja"
)

// Module describes an object such as crypto: members that are listed, but built only when they
// are first touched. It is shared by all runtimes.
type Module struct {
	members Members
	names   []string
}

// NewModule describes a module with members.
func NewModule(members Members) *Module {
	m := &Module{members: members}
	for name, member := range members {
		if !member.hidden {
			m.names = append(m.names, name)
		}
	}
	slices.Sort(m.names)
	return m
}

// Module makes the object that m describes. It has itself as `default`.
func (b *Bridge) Module(m *Module) *goja.Object {
	if o := b.modules[m]; o != nil {
		return o
	}
	n := &namespace{bridge: b, module: m}
	n.object = b.RT.NewDynamicObject(n)
	if b.modules == nil {
		b.modules = make(map[*Module]*goja.Object)
	}
	b.modules[m] = n.object
	return n.object
}

// namespace is a module's object in one runtime. Scripts may change it as they may in Node.
type namespace struct {
	bridge *Bridge
	module *Module
	object *goja.Object
	// values are the members built so far and what a script has put; nil for what it has deleted.
	values map[string]goja.Value
	// added are the names of members that the module does not have.
	added []string
}

func (n *namespace) Get(name string) goja.Value {
	if v, ok := n.values[name]; ok {
		return v
	}
	m, ok := n.module.members[name]
	if !ok {
		if name == "default" {
			return n.object
		}
		return nil
	}
	v := m.build(n.bridge, name)
	n.put(name, v)
	return v
}

func (n *namespace) put(name string, v goja.Value) {
	if n.values == nil {
		n.values = make(map[string]goja.Value)
	}
	n.values[name] = v
}

func (n *namespace) Has(name string) bool {
	if v, ok := n.values[name]; ok {
		return v != nil
	}
	_, ok := n.module.members[name]
	return ok || name == "default"
}

func (n *namespace) Set(name string, v goja.Value) bool {
	if v == nil {
		v = goja.Undefined()
	}
	if _, ok := n.module.members[name]; !ok && !slices.Contains(n.added, name) {
		n.added = append(n.added, name)
	}
	n.put(name, v)
	return true
}

func (n *namespace) Delete(name string) bool {
	n.put(name, nil)
	return true
}

func (n *namespace) Keys() []string {
	names := make([]string, 0, len(n.module.names)+len(n.added))
	for _, list := range [][]string{n.module.names, n.added} {
		for _, name := range list {
			if v, ok := n.values[name]; !ok || v != nil {
				names = append(names, name)
			}
		}
	}
	return names
}

// With returns m with other members added to it.
func (m Members) With(other Members) Members {
	for name, member := range other {
		m[name] = member
	}
	return m
}
