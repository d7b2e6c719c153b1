//go:build linux && (amd64 || arm64)

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// fadviseDontNeed is POSIX_FADV_DONTNEED of posix_fadvise(2).
const fadviseDontNeed = 4

// dropFromMemory has the system forget what it keeps in memory of the files below
// a directory, so that the next read goes to the disk. No other file is touched.
func dropFromMemory(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path) //nolint:gosec // a file of the run's own data directory
		if err != nil {
			return err
		}
		err = f.Sync() // what is not on the disk yet is not dropped
		if _, _, errno := syscall.Syscall6(syscall.SYS_FADVISE64, f.Fd(), 0, 0, fadviseDontNeed, 0, 0); errno != 0 {
			err = fmt.Errorf("drop %s from memory: %w", path, errno)
		}
		return errors.Join(err, f.Close())
	})
}
