package main

import (
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"edgefog.dev/isgw/cluster/admin"
)

// writeFile writes what body has into a file that appears under its name only
// when it is whole and on disk. Something that is no regular file, such as a
// pipe, is written to as it is.
func writeFile(name string, body io.Reader) error {
	info, err := os.Stat(name)
	switch {
	case err == nil && info.IsDir():
		return usage("%s is a directory; name the file", name)
	case err == nil && !info.Mode().IsRegular():
		return writeOver(name, body)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fileError("write", name, err)
	}
	if info != nil { // what a link points to is replaced, not the link
		if name, err = filepath.EvalSymlinks(name); err != nil {
			return fileError("write", name, err)
		}
	}
	part, err := os.OpenFile(partName(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return fileError("write", name, err)
	}
	defer os.Remove(part.Name()) // after the rename there is nothing of that name
	defer part.Close()
	if _, err := io.Copy(part, body); err != nil {
		return fileError("write", name, err)
	}
	steps := []func() error{part.Sync, part.Close, func() error { return os.Rename(part.Name(), name) }}
	if info != nil {
		steps = slices.Insert(steps, 0, func() error { return part.Chmod(info.Mode().Perm()) })
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return fileError("write", name, err)
		}
	}
	return nil
}

// partName is a name beside the file's that nobody else has.
func partName(name string) string {
	return filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+".part-"+rand.Text()[:8])
}

func writeOver(name string, body io.Reader) error {
	file, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return fileError("write", name, err)
	}
	defer file.Close()
	if _, err := io.Copy(file, body); err != nil {
		return fileError("write", name, err)
	}
	return file.Close()
}

// fileError says in one sentence what happened to a file of the operator's. A
// failure of the node, met while writing, stays the node's.
func fileError(verb, name string, err error) error {
	var failure *admin.Error
	if errors.As(err, &failure) {
		return failure
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	var link *os.LinkError
	if errors.As(err, &link) {
		err = link.Err
	}
	return &admin.Error{Code: admin.CodeFailed, Message: verb + " " + name + ": " + err.Error(), Err: err}
}

// pairs reads NAME=VALUE arguments.
func pairs(args []string) (map[string]string, error) {
	out := map[string]string{}
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok || name == "" {
			return nil, usage("metadata is NAME=VALUE, not %q", arg)
		}
		out[name] = value
	}
	return out, nil
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
