package spec_test

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The declarations take what handlers do and find what they cannot do. It needs TypeScript's
// compiler (npm install -g typescript).
func TestTypes(t *testing.T) {
	tsc, err := exec.LookPath("tsc")
	if err != nil {
		t.Skip("tsc is not installed")
	}
	source, err := os.ReadFile("testdata/types/bad.ts")
	if err != nil {
		t.Fatal(err)
	}
	out, _ := exec.Command(tsc, "-p", "testdata/types", "--pretty", "false").CombinedOutput() // it fails, as it should
	found := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		if m := regexp.MustCompile(`^testdata/types/bad\.ts\((\d+),`).FindStringSubmatch(line); m != nil {
			found[m[1]] = true
		} else if !strings.HasPrefix(line, " ") {
			t.Errorf("tsc: %s", line)
		}
	}
	number := 0
	for line := range strings.Lines(string(source)) {
		number++
		if want := strings.HasSuffix(strings.TrimSpace(line), "// error"); want != found[strconv.Itoa(number)] {
			t.Errorf("bad.ts:%d: an error: %v, want %v", number, !want, want)
		}
	}
}
