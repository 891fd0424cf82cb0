package console

import (
	_ "embed" // openapi.yaml
	"fmt"
	"net/http"
	"sync"

	"switchhook/spec/document"
)

//go:embed openapi.yaml
var openAPIYAML []byte

// openAPI is the description of the API as JSON.
var openAPI = sync.OnceValue(func() []byte {
	doc, list := document.Parse("openapi.yaml", openAPIYAML)
	if list.HasErrors() {
		panic(fmt.Sprintf("console: %v", list)) // a test reads it
	}
	return doc.Root.JSON()
})

func serveOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(openAPI()) // the client may be gone
}
