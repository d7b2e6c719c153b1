package pebblestore

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stelehq/stele/internal/storetest"
)

// TestUnsyncedIsDurableAfterClose takes the power away after a store that does
// not sync was closed: everything is there. Taken away before, it is not, or the
// setting does nothing.
func TestUnsyncedIsDurableAfterClose(t *testing.T) {
	fs := vfs.NewCrashableMem()
	cfg := testConfig(t, fs)
	cfg.Unsynced = true
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	log := storetest.NewLog("org")
	for i := range 400 { // enough for several memtables and logs
		c := log.Next(int64(1_772_000_000_000+i), storetest.MakeEvents(log.Org, 20), nil)
		if err := s.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		log.Add(c)
	}
	early := fs.CrashClone(vfs.CrashCloneCfg{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.Unsynced = false
	if size, rows := reopened(t, cfg, fs.CrashClone(vfs.CrashCloneCfg{})); size != log.Head.Size || rows != log.Head.Size {
		t.Errorf("after Close: a log of %d, %d rows; want %d", size, rows, log.Head.Size)
	}
	if size, _ := reopened(t, cfg, early); size >= log.Head.Size {
		t.Error("commits were synced")
	}
}

// reopened is the size of the log, and how many rows can be read, on a disk.
func reopened(t *testing.T, cfg Config, fs vfs.FS) (size, rows uint64) {
	t.Helper()
	cfg.fs = fs
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	head, err := s.Head(t.Context(), "org")
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range s.Read(t.Context(), "org", 0, head.Size) {
		if err != nil {
			t.Fatal(err)
		}
		rows++
	}
	return head.Size, rows
}
