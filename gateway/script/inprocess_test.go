package script_test

import (
	"testing"

	"switchhook/gateway/script"
	"switchhook/gateway/script/scripttest"
)

func TestInProcess(t *testing.T) {
	scripttest.Test(t, script.NewInProcess)
}
