package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/stelehq/stele/internal/ledger"
)

// checkpointKeyFile holds the key that signs checkpoints. It is a file of its
// own, not a record in the database, so that an operator can keep it elsewhere.
const checkpointKeyFile = "checkpoint.key"

// dbDir holds the database, exportDir the files of exports.
const (
	dbDir     = "db"
	exportDir = "exports"
)

// defaultName is the server name when none was ever given.
const defaultName = "stele.local"

// signingKey reads the checkpoint key, or makes one on a fresh directory. On one
// that holds logs a missing key is an error: a new key would silently break
// every verifier.
func signingKey(dir, name string, fresh bool) (string, error) {
	path := filepath.Join(dir, checkpointKeyFile)
	data, err := os.ReadFile(path) //nolint:gosec // the operator's own data directory
	if err == nil {
		return strings.TrimSpace(string(data)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read checkpoint key: %w", err)
	}
	if !fresh {
		return "", fmt.Errorf("%s is missing but the data directory is in use; put the key back from a backup", path)
	}
	if name == "" {
		name = defaultName
	}
	key, err := ledger.GenerateKey(name)
	if err != nil {
		return "", fmt.Errorf("make checkpoint key: %w", err)
	}
	return key, writeSecret(path, key+"\n")
}

// writeSecret writes a file that only the owner may read, durably, and never
// half: a crash leaves it whole or absent.
func writeSecret(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".secret-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // renamed away when all went well
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the operator's own data directory
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
