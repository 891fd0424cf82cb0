package sqlite_test

import (
	"context"
	"testing"

	"switchhook/gateway/store"
	"switchhook/gateway/store/sqlite"
	"switchhook/gateway/store/storetest"
)

func open(t testing.TB, dir string, opt store.Options) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(dir, sqlite.Options{Now: opt.Now, DedupeWindow: opt.DedupeWindow})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	storetest.Test(t, func(t *testing.T, opt store.Options) store.Store { return open(t, t.TempDir(), opt) })
}

// listing is a store that lists what is released at once, where others leave it to a tick.
type listing struct{ *sqlite.Store }

func (l listing) Release(ids ...string) {
	l.Store.Release(ids...)
	l.List(context.Background()) //nolint:errcheck // the tests of a store that is closed do this too
}

func TestListingStore(t *testing.T) {
	storetest.Test(t, func(t *testing.T, opt store.Options) store.Store { return listing{open(t, t.TempDir(), opt)} })
}

func TestDurable(t *testing.T) {
	storetest.TestDurable(t, func(t *testing.T, dir string, opt store.Options) store.Store { return open(t, dir, opt) })
}
