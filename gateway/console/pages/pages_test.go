package pages_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"

	"switchhook/gateway/console/pages"
)

func serve(t *testing.T, target, etag string) *httptest.ResponseRecorder {
	t.Helper()
	mux := http.NewServeMux()
	for pattern, h := range pages.Routes() {
		mux.Handle(pattern, h)
	}
	r := httptest.NewRequest("GET", target, nil)
	if etag != "" {
		r.Header.Set("If-None-Match", etag)
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	return w
}

func TestRoutes(t *testing.T) {
	for target, want := range map[string]string{
		"/": "text/html; charset=utf-8", "/assets/app.js": "text/javascript; charset=utf-8", "/assets/style.css": "text/css; charset=utf-8",
		"/assets/icon.svg": "image/svg+xml", "/assets/vendor/preact-htm.js": "text/javascript; charset=utf-8",
	} {
		w := serve(t, target, "")
		if w.Code != 200 || w.Header().Get("Content-Type") != want || w.Body.Len() == 0 {
			t.Errorf("%s: %d %q, %d bytes", target, w.Code, w.Header().Get("Content-Type"), w.Body.Len())
		}
		if again := serve(t, target, w.Header().Get("ETag")); again.Code != 304 || again.Body.Len() != 0 {
			t.Errorf("%s again: %d", target, again.Code)
		}
	}
	for _, target := range []string{"/assets/", "/assets/index.html", "/assets/vendor/README.md", "/assets/../page.go", "/x"} {
		if w := serve(t, target, ""); w.Code == 200 {
			t.Errorf("%s is served", target)
		}
	}
}

// The pages work without the internet: every file that one names is there, and none names another server.
func TestFilesAreThere(t *testing.T) {
	names := regexp.MustCompile(`(?:from |import )'\./([^']+)'|(?:src|href)="(/assets/[^"]+)"`)
	outside := regexp.MustCompile(`(?:from|import|src=|url\()\s*["']?(?:https?:)?//`)
	err := fs.WalkDir(os.DirFS("assets"), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile("assets/" + name)
		if err != nil {
			return err
		}
		if found := outside.Find(content); found != nil {
			t.Errorf("%s names another server: %s", name, found)
		}
		for _, m := range names.FindAllStringSubmatch(string(content), -1) {
			target := m[2]
			if target == "" {
				target = "/assets/" + path.Join(path.Dir(name), m[1])
			}
			if w := serve(t, target, ""); w.Code != 200 {
				t.Errorf("%s names %s, which is not there", name, target)
			}
		}
		// The content security policy lets neither run.
		if strings.HasSuffix(name, ".html") && regexp.MustCompile(`<script>|<style|\son[a-z]+=|style=`).Match(content) {
			t.Errorf("%s has code in it", name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What is vendored is what the package registry has, unchanged.
func TestVendored(t *testing.T) {
	content, err := os.ReadFile("assets/vendor/preact-htm.js")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	if got := hex.EncodeToString(sum[:]); got != "72284e8e9079c87817145df1110f74e8a2aa040b2fc384922e18dfcb46fc1fd7" {
		t.Errorf("its SHA-256 is %s", got)
	}
}
