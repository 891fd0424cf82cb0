package live

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// tokenLength is the length of a token in a URL: 128 bits in base64url.
const tokenLength = 22

// URLKey is the secret from which the tokens in webhook URLs are derived. It
// never appears in logs.
type URLKey []byte

func (URLKey) String() string   { return "[secret]" }
func (URLKey) GoString() string { return "[secret]" }

// urlKeyFile has the key, in the data directory.
const urlKeyFile = "url.key"

// LoadURLKey reads the key kept in the data directory, and makes one (and the
// directory) when there is none yet. Two processes that start at once agree on one key.
func LoadURLKey(dataDir string) (URLKey, error) {
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return nil, fmt.Errorf("creating the data directory: %w", err)
	}
	path := filepath.Join(dataDir, urlKeyFile)
	for range 2 {
		text, err := os.ReadFile(path)
		if err == nil {
			key, err := base64.RawStdEncoding.DecodeString(strings.TrimSpace(string(text)))
			if err != nil || len(key) < 32 {
				return nil, fmt.Errorf("reading %s: it does not hold a key; restore it from a backup, or remove it and give every provider its new webhook URL", path)
			}
			return key, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("reading the URL key: %w", err)
		}
		if err := createURLKey(path); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("creating the URL key: %w", err)
		}
	}
	return nil, fmt.Errorf("reading the URL key: %s disappears", path)
}

// CopyURLKey copies the key in a data directory, if there is one, to another that has none and that nobody uses yet.
func CopyURLKey(from, to string) error {
	text, err := os.ReadFile(filepath.Join(from, urlKeyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil { // without a link, which not every file system for backups has
		var f *os.File
		if f, err = os.OpenFile(filepath.Join(to, urlKeyFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			_, err = f.Write(text)
			err = errors.Join(err, f.Sync(), f.Close())
		}
	}
	if err != nil {
		return fmt.Errorf("copying the URL key: %w", err)
	}
	return nil
}

// createURLKey writes a new key so that readers find it whole or not at all.
func createURLKey(path string) error {
	key := make([]byte, 32)
	rand.Read(key)
	temporary, err := os.CreateTemp(filepath.Dir(path), ".url.key-*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.WriteString(base64.RawStdEncoding.EncodeToString(key) + "\n")
	if err == nil {
		err = temporary.Sync()
	}
	if closeErr := temporary.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Link(temporary.Name(), path) // fails when the file exists
	}
	return err
}

// Path is the path of a webhook's URL: /workspace/integration/webhook/token.
// It depends on the key and the names only, so it stays the same for good.
func (k URLKey) Path(workspace, integration, webhook string) string {
	return "/" + workspace + "/" + integration + "/" + webhook + "/" + k.token(workspace, integration, webhook)
}

func (k URLKey) token(workspace, integration, webhook string) string {
	mac := hmac.New(sha256.New, k)
	// No name contains a slash, so the text is unambiguous.
	fmt.Fprintf(mac, "%s/%s/%s", workspace, integration, webhook)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}

// splitPath takes the path of a webhook's URL apart; ok is false for any other form.
func splitPath(path string) (names, token string, ok bool) {
	i := len(path) - tokenLength - 1
	if i < 1 || path[0] != '/' || path[i] != '/' {
		return "", "", false
	}
	names, token = path[1:i], path[i+1:]
	if strings.Count(names, "/") != 2 || strings.Contains(token, "/") {
		return "", "", false
	}
	return names, token, true
}

// sameToken compares in constant time.
func sameToken(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
