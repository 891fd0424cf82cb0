package script_test

import (
	"strings"
	"testing"

	"switchhook/gateway/script"
)

// TestHugeConstants: goja computes constants when it compiles, which happens in the gateway.
func TestHugeConstants(t *testing.T) {
	for expression, refused := range map[string]bool{
		`1n << 1099511627776n`: true, `10n ** 1000000000n`: true, `1n >> -1099511627776n`: true, `2n ** 64n ** 64n`: true, `(2n ** 4000n) ** 4000n`: true,
		`[1, {a: -(1n << 1099511627776n)}]`: true, `1n ? 1n << 1099511627776n : 0`: true, strings.Repeat("9n * ", 100) + "1n": true,
		`(2n ** 64n) - 1n`: false, `24n * 60n * 60n * 1000n`: false, `1 << 30`: false, `10 ** 1000000000`: false, `10n ** 18n`: false, `x => 1n << x`: false, `BigInt(2) ** 99999n`: false,
	} {
		p, list := script.Build(script.Source{Function: "handle", Code: "export default () => " + expression, File: "a.yml", Line: 1, Column: 1})
		if (p == nil) != refused {
			t.Errorf("%s: %v", expression, list)
		}
		if refused && (len(list) == 0 || list[0].Code != "huge-constant") {
			t.Errorf("%s: %v", expression, list)
		}
	}
}
