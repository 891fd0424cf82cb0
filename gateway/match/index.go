package match

// Scope is where events come from: subscriptions and events of different scopes never meet.
type Scope struct {
	Workspace, Integration, Webhook string
}

// Index finds the values (subscriptions) that an event reaches. Its methods may
// be called from any goroutine; Match takes no lock. The zero value is empty and ready to use.
type Index[T comparable] struct{}

// Edit is a set of changes to an Index that become visible at once; see Index.Update.
type Edit[T comparable] struct{}

// Add adds a value under a scope, selector and filter (nil for none).
func (x *Index[T]) Add(scope Scope, selector *Selector, filter *Filter, value T) {
	x.Update(func(e *Edit[T]) { e.Add(scope, selector, filter, value) })
}

// Remove removes what Add added and reports whether it was there.
func (x *Index[T]) Remove(scope Scope, selector *Selector, value T) (found bool) {
	x.Update(func(e *Edit[T]) { found = e.Remove(scope, selector, value) })
	return found
}

// Update makes changes that a concurrent Match sees all or none of.
func (x *Index[T]) Update(change func(*Edit[T])) { change(&Edit[T]{}) }

// Add is Index.Add within an Update.
func (e *Edit[T]) Add(scope Scope, selector *Selector, filter *Filter, value T) {}

// Remove is Index.Remove within an Update.
func (e *Edit[T]) Remove(scope Scope, selector *Selector, value T) bool { return false }

// Match appends to dst the values whose selector matches and whose filter passes.
func (x *Index[T]) Match(dst []T, scope Scope, selector string, payload []byte) []T { return dst }

// Len is the number of values.
func (x *Index[T]) Len() int { return 0 }
