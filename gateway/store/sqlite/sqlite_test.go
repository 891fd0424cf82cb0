package sqlite_test

import (
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

func TestDurable(t *testing.T) {
	storetest.TestDurable(t, func(t *testing.T, dir string, opt store.Options) store.Store { return open(t, dir, opt) })
}
