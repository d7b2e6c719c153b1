package pebblestore

import "github.com/cockroachdb/pebble/v2/vfs"

const (
	// zeroBytes is how much of a log is filled with zeros at a time.
	zeroBytes = 256 << 10
	// zeroLimit is the largest sync before which it is worth the writing.
	zeroLimit = 64 << 10
)

// aheadFile is a write-ahead log that is filled with zeros ahead of what is
// written to it. A sync of bytes that make the file longer, or that lie where it
// was only allocated, has the file system commit its own journal too; a sync of
// bytes written over others does not, and takes half the time and half the CPU.
// Pebble gains the same by using old logs again, but a store that was just
// opened has none. It takes zeros for the end of a log, as it must where space is
// allocated ahead.
//
// Large commits are not prepared for: they would be written twice for a gain that
// they do not notice. It is used by one goroutine at a time, as Pebble uses logs.
type aheadFile struct {
	vfs.File
	at       int64  // where the next write goes
	filled   int64  // the file has bytes up to here
	unsynced int64  // bytes written since the last sync
	last     int64  // bytes written between the two syncs before
	zeros    []byte // zeroBytes of them, once they were needed
}

// Stat implements [vfs.File]. Pebble asks for the size of a log that it uses
// again, before it writes to it: so much of it is filled.
func (a *aheadFile) Stat() (vfs.FileInfo, error) {
	info, err := a.File.Stat()
	if err == nil {
		a.filled = max(a.filled, info.Size())
	}
	return info, err
}

// Write implements [vfs.File].
func (a *aheadFile) Write(p []byte) (int, error) {
	if err := a.fill(int64(len(p))); err != nil {
		return 0, err
	}
	n, err := a.File.Write(p)
	a.at += int64(n)
	a.unsynced += int64(n)
	a.filled = max(a.filled, a.at)
	return n, err
}

// fill prepares the file for a write of n bytes. A disk that does not take zeros
// is as full, or as broken, as one that does not take the write.
func (a *aheadFile) fill(n int64) error {
	if a.at+n <= a.filled || a.last > zeroLimit || a.unsynced+n > zeroLimit {
		return nil
	}
	if a.zeros == nil {
		a.zeros = make([]byte, zeroBytes)
	}
	done, err := a.WriteAt(a.zeros, a.filled)
	a.filled += int64(done)
	return err
}

// Sync implements [vfs.File].
func (a *aheadFile) Sync() error {
	a.synced()
	return a.File.Sync()
}

// SyncData implements [vfs.File].
func (a *aheadFile) SyncData() error {
	a.synced()
	return a.File.SyncData()
}

func (a *aheadFile) synced() { a.last, a.unsynced = a.unsynced, 0 }
