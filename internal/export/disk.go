package export

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// disk is the directory that files are written to: the operations of which each
// can fail.
type disk interface {
	// create makes an empty file, in place of any of that name.
	create(name string) (file, error)
	// open opens a file to be read.
	open(name string) (io.ReadCloser, error)
	// rename gives a file another name, in place of any of that.
	rename(from, to string) error
	// sync makes the names in the directory durable.
	sync() error
	// remove removes a file; none is no error.
	remove(name string) error
}

// file is a file that is being written.
type file interface {
	io.WriteCloser
	Sync() error
}

// directory is a disk by its path.
type directory string

func (d directory) path(name string) string { return filepath.Join(string(d), name) }

func (d directory) create(name string) (file, error) {
	f, err := os.OpenFile(d.path(name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (d directory) open(name string) (io.ReadCloser, error) {
	f, err := os.Open(d.path(name))
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (d directory) rename(from, to string) error { return os.Rename(d.path(from), d.path(to)) }

func (d directory) sync() error {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (d directory) remove(name string) error {
	if err := os.Remove(d.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
