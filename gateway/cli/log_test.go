package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	gotesting "testing"
	"time"
)

// written hands on each write.
type written chan string

func (w written) Write(b []byte) (int, error) {
	w <- string(b)
	return len(b), nil
}

func TestLinesOfTheLogAreWrittenTogether(t *gotesting.T) {
	to := make(written, 10)
	out := &lines{to: to}
	log := slog.New(forMachines{slog.NewJSONHandler(out, nil), out})
	log.Info("a")
	log.Info("b")
	var got string
	for !strings.Contains(got, `"b"`) { // they come by themselves
		got += <-to
	}
	if !strings.Contains(got, `"a"`) || strings.Count(got, "\n") != 2 {
		t.Errorf("got %q", got)
	}
	log.Info("c")
	log.Error("d")
	for !strings.Contains(got, `"d"`) {
		select {
		case line := <-to: // and an error at once
			got += line
		default:
			t.Fatal("the error waits")
		}
	}
	if !strings.Contains(got, `"c"`) {
		t.Errorf("c came behind d: %q", got)
	}
	log.Info("e")
	out.Flush()
	for !strings.Contains(got, `"e"`) {
		got += <-to
	}
	big := strings.Repeat("x", gatherMost)
	log.Info(big)
	for !strings.Contains(got, big) {
		got += <-to
	}
}

func TestDurationsOfTheLogAreReadable(t *gotesting.T) {
	var b bytes.Buffer
	out := &lines{to: &b}
	log := slog.New(forMachines{slog.NewJSONHandler(out, nil), out})
	log.With("since", 1234567*time.Nanosecond).WithGroup("g").Warn("m", "n", 1, "took", 2*time.Second, "error", errors.New("e"))
	var got struct {
		Since string
		G     struct {
			N           int
			Took, Error string
		}
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil || got.Since != "1.235ms" || got.G.Took != "2s" || got.G.N != 1 || got.G.Error != "e" {
		t.Errorf("%v %+v of %s", err, got, b.Bytes())
	}
}
