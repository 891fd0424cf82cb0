package spec

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"switchhook/spec/diagnostic"
)

// Limits of a connector's files, in bytes. They are far above what people write by hand.
const (
	maxSpecSize = 1 << 20
	maxTextSize = 1 << 20
	maxCodeSize = 4 << 20
	// maxFiles bounds how many files of a folder are looked at.
	maxFiles = 20_000
)

// folder reads the files below a connector's folder, and no others: links
// that lead out of it are refused. Only regular files are opened, so that
// reading never blocks. Names are relative and slash-separated.
type folder struct {
	root  *os.Root
	path  string // absolute, links resolved
	shown string
}

func openFolder(path, shown string) (*folder, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &folder{root: root, path: path, shown: shown}, nil
}

func (f *folder) close() { _ = f.root.Close() }

// show is how a file is called in diagnostics.
func (f *folder) show(name string) string {
	switch {
	case (name == "." || name == "") && f.shown == "":
		return "."
	case name == "." || name == "":
		return f.shown
	case f.shown == "":
		return name
	}
	return f.shown + "/" + name
}

// fileError says in words for people why a file cannot be used.
type fileError struct {
	code, message, hint string
}

func (e *fileError) Error() string { return e.message }

func (f *folder) diagnose(name string, err error) diagnostic.Diagnostic {
	d := diagnostic.Diagnostic{Code: "unreadable", File: f.show(name), Message: "the file cannot be read: " + reason(err)}
	var problem *fileError
	if errors.As(err, &problem) {
		d.Code, d.Message, d.Hint = problem.code, problem.message, problem.hint
	}
	return d
}

// reason is an error of the file system without the path, which is shown already.
func reason(err error) string {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err.Error()
	}
	return err.Error()
}

// stat finds out about a file, following links inside the folder. A file that
// is not there is fs.ErrNotExist.
func (f *folder) stat(name string) (fs.FileInfo, error) {
	info, err := f.root.Stat(name)
	if err == nil {
		return info, nil
	}
	if link, linkErr := f.root.Lstat(name); linkErr == nil && link.Mode()&fs.ModeSymlink != 0 {
		real, realErr := filepath.EvalSymlinks(filepath.Join(f.path, name))
		switch {
		case errors.Is(realErr, fs.ErrNotExist):
			return nil, &fileError{code: "dangling-link", message: "the link leads to a file that does not exist"}
		case realErr == nil && !below(f.path, real):
			return nil, &fileError{code: "outside-folder", message: "the link leads out of the connector's folder",
				hint: "copy the file into the folder"}
		}
	}
	return nil, err
}

// read returns the content of a regular file of at most limit bytes.
func (f *folder) read(name string, limit int) ([]byte, error) {
	info, err := f.stat(name)
	if err != nil {
		return nil, err
	}
	return readRegular(info, limit, func() (*os.File, error) {
		return f.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	})
}

// readRegular reads what open opens, after info has been looked at: opening
// a pipe would block, and opening a device may do worse.
func readRegular(info fs.FileInfo, limit int, open func() (*os.File, error)) ([]byte, error) {
	if err := checkRegular(info, limit); err != nil {
		return nil, err
	}
	file, err := open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	if info, err = file.Stat(); err != nil { // it may have been replaced meanwhile
		return nil, err
	}
	if err := checkRegular(info, limit); err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(file, int64(limit)+1))
	if err != nil {
		return nil, err
	}
	if len(content) > limit {
		return nil, tooLarge(int64(len(content)), limit)
	}
	return content, nil
}

func checkRegular(info fs.FileInfo, limit int) error {
	if kind := unusual(info.Mode()); kind != "" {
		return &fileError{code: "not-a-file", message: "this is " + kind + ", not a file"}
	}
	if info.Size() > int64(limit) {
		return tooLarge(info.Size(), limit)
	}
	return nil
}

func tooLarge(size int64, limit int) error {
	return &fileError{code: "file-too-large", message: fmt.Sprintf("the file has %.1f MiB, more than the %d MiB allowed",
		float64(size)/(1<<20), limit>>20)}
}

// unusual names what is not a regular file; "" for one.
func unusual(mode fs.FileMode) string {
	switch {
	case mode.IsRegular():
		return ""
	case mode.IsDir():
		return "a folder"
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "something special"
}

// names lists a folder, sorted, without names that begin with a dot or an
// underscore. It is empty when the folder does not exist.
func (f *folder) names(dir string) ([]string, error) {
	info, err := f.stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, &fileError{code: "not-a-folder", message: "this must be a folder"}
	}
	entries, err := fs.ReadDir(f.root.FS(), dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if !passedOver(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// passedOver reports names that are never part of a connector.
func passedOver(name string) bool {
	return name == "node_modules" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
}

func isYAML(name string) bool {
	ext := path.Ext(name)
	return ext == ".yml" || ext == ".yaml"
}

// below reports whether a path is dir or in it; both absolute and without links.
func below(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// What can change what a connector does: specs, code, and what code can import.
var hashedExtensions = []string{".yml", ".yaml", ".md", ".json", ".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx", ".txt", ".pem"}

// hash sums up the folder's files, leaving out fixtures. Of very large files only size and time count.
func (f *folder) hash() (string, error) {
	sum := sha256.New()
	buffer := make([]byte, 32<<10)
	count := 0
	// The walk does not follow links, so the folders it comes to are all inside.
	err := filepath.WalkDir(f.path, func(full string, entry fs.DirEntry, err error) error {
		name := strings.TrimPrefix(filepath.ToSlash(strings.TrimPrefix(full, f.path)), "/")
		if err != nil {
			if name == "" {
				return err
			}
			fmt.Fprintf(sum, "%q unreadable\n", name) // Load says so where it matters
			return nil
		}
		base := entry.Name()
		if name != "" && (base == "node_modules" || strings.HasPrefix(base, ".") || name == fixturesFolder) {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if entry.IsDir() || !slices.Contains(hashedExtensions, path.Ext(name)) {
			return nil
		}
		if count++; count > maxFiles {
			return &fileError{code: "too-many-files", message: fmt.Sprintf("the folder holds more than %d files", maxFiles),
				hint: "is this the connector's folder?"}
		}
		fmt.Fprintf(sum, "%q %s\n", name, f.fileHash(name, full, entry, buffer))
		return nil
	})
	return hex.EncodeToString(sum.Sum(nil)), err
}

// fileHash is the hash of a file's content, or says why there is none.
func (f *folder) fileHash(name, full string, entry fs.DirEntry, buffer []byte) string {
	var file *os.File
	var err error
	switch {
	case entry.Type().IsRegular():
		file, err = os.OpenFile(full, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	case entry.Type()&fs.ModeSymlink == 0:
		return "special"
	default:
		info, statErr := f.stat(name)
		if statErr != nil {
			return reason(statErr)
		}
		if !info.Mode().IsRegular() { // a folder's files are seen elsewhere
			return "special"
		}
		file, err = f.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	}
	if err != nil {
		return reason(err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return "special"
	}
	if info.Size() > 4*maxCodeSize {
		return fmt.Sprint(info.Size(), info.ModTime().UnixNano())
	}
	sum := sha256.New()
	if _, err := io.CopyBuffer(sum, io.LimitReader(file, 4*maxCodeSize), buffer); err != nil {
		return reason(err)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// readable finds out whether a regular file can be opened.
func (f *folder) readable(name string) error {
	file, err := f.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	return file.Close()
}
