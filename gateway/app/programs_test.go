package app

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestProgramsAreKept(t *testing.T) {
	data := t.TempDir()
	now := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	c := openPrograms(data, clock)
	has := func(c *programCache, key, want string) {
		t.Helper()
		if got, ok := c.Get(key); string(got) != want || ok != (want != "") {
			t.Errorf("%s: %q, %v; want %q", key, got, ok, want)
		}
	}
	has(c, "a", "")
	for key, value := range map[string]string{"a": "one", "b": "two", "c": "three"} {
		c.Put(key, []byte(value))
		if err := os.Chtimes(filepath.Join(data, "programs", key), now, now); err != nil {
			t.Fatal(err)
		}
	}
	has(c, "a", "one")

	// A file that was damaged does not count, one with a whole value in its place does.
	path := filepath.Join(data, "programs", "b")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)-1] ^= 1
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	has(c, "b", "")
	c.Put("b", []byte("again"))
	has(c, "b", "again")

	// What is asked for stays, what is not goes.
	now = now.Add(20 * 24 * time.Hour)
	has(c, "a", "one")
	now = now.Add(20 * 24 * time.Hour)
	c = openPrograms(data, clock)
	has(c, "a", "one")
	has(c, "c", "")

	// A folder that cannot be made costs no more than compiling.
	if err := os.WriteFile(filepath.Join(data, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	none := openPrograms(filepath.Join(data, "file"), clock)
	none.Put("a", []byte("one"))
	has(none, "a", "")
}
