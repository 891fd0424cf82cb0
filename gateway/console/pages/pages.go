// Package pages is the console that people open in a browser: files, embedded,
// which show what the admin API answers and keep nothing of their own. There is no build
// step: the modules are served as they are written. console mounts it.
package pages

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"io/fs"
	"mime"
	"net/http"
	"path"
)

//go:embed assets
var assets embed.FS

type file struct {
	content           []byte
	contentType, etag string
}

// Routes are the handlers of the page and its files, by patterns of
// http.ServeMux. None needs a token: they hold nothing but code.
func Routes() map[string]http.Handler {
	routes := map[string]http.Handler{}
	err := fs.WalkDir(assets, "assets", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) == ".md" {
			return err
		}
		content, err := assets.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		f := &file{content, contentType(name), `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
		if name == "assets/index.html" {
			routes["GET /{$}"] = f
			return nil
		}
		routes["GET /"+name] = f
		return nil
	})
	if err != nil {
		panic("pages: an embedded file cannot be read: " + err.Error()) // it is in the binary
	}
	return routes
}

// contentType does not ask the machine's tables, which differ.
func contentType(name string) string {
	switch ext := path.Ext(name); ext {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	default:
		return mime.TypeByExtension(ext)
	}
}

func (f *file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("ETag", f.etag)
	// A browser asks again each time, and after an update of the gateway gets all files anew.
	h.Set("Cache-Control", "no-cache")
	if r.Header.Get("If-None-Match") == f.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(f.content) // the browser may be gone
}
