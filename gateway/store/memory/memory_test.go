package memory_test

import (
	"testing"

	"switchhook/gateway/store"
	"switchhook/gateway/store/memory"
	"switchhook/gateway/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Test(t, func(t *testing.T, opt store.Options) store.Store { return memory.New(opt) })
}
