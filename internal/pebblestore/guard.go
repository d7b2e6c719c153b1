package pebblestore

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// errFrozen is what every write gets after the store failed.
var errFrozen = errors.New("the store failed; nothing more is written")

// fileKind is what a file is to Pebble.
type fileKind int

const (
	// fileTable is what background work writes, and may fail to write: Pebble
	// tries again.
	fileTable fileKind = iota
	// fileLog is a write-ahead log. Pebble panics when one cannot be written,
	// partly with a mutex in a state that ends the process whatever recovers.
	fileLog
	// fileManifest is the list of tables, or a marker that names it. When one
	// cannot be written, Pebble ends the process, and is in no state to go on if
	// it is kept from that.
	fileManifest
	// fileDir is a directory, opened to be synced. Pebble panics when it cannot.
	fileDir
)

func kindOf(name string) fileKind {
	base := filepath.Base(name)
	switch {
	case strings.HasSuffix(base, ".log"):
		return fileLog
	case strings.HasPrefix(base, "MANIFEST-"), strings.HasPrefix(base, "marker."):
		return fileManifest
	default:
		return fileTable
	}
}

// guardFS is the file system under Pebble. It turns failures that would end the
// process into a failed store:
//
//   - When a write-ahead log cannot be written or synced, a directory not synced
//     or a manifest not written, the store fails, once and for good. From then on
//     the disk is left as it is: writes of logs pretend to succeed, so that Pebble
//     stays whole for readers, those of a manifest never return, and all others get
//     errFrozen. Whoever commits looks at [guardFS.failed] after Pebble said that a
//     batch is synced, and before anybody is told so.
//   - When there is no space for a log or manifest, the write waits until there
//     is. Meanwhile full is true, and the store takes no commits.
//   - When background work fails, which Pebble repeats at once, the repetitions
//     are spread out.
type guardFS struct {
	vfs.FS

	// onFail and onFull are called once on failure, and each time that a write
	// begins to wait for space. They must not call Pebble.
	onFail func(error)
	onFull func()
	// retry is how often a waiting write is tried again.
	retry time.Duration

	failure atomic.Pointer[error]
	// frozenNow is closed when failure is set.
	frozenNow chan struct{}
	// waiting is the number of writes that wait for space.
	waiting atomic.Int32
	// armed is set when the store is open: only then is it worth waiting.
	armed atomic.Bool
	// setbacks is the number of background jobs that failed in a row, noSpace
	// whether the last of them did for lack of it, and setbackAt when that was,
	// in Unix nanoseconds.
	setbacks  atomic.Int32
	noSpace   atomic.Bool
	setbackAt atomic.Int64
	now       func() time.Time

	// scrubbing counts who wants old logs to be gone.
	scrubbing atomic.Int32
	// kept are files that could not be removed: Pebble leaves them where they are.
	keptMu sync.Mutex
	kept   map[string]struct{}

	closing   chan struct{}
	closeOnce sync.Once
	// wedged is closed when part of Pebble will never return.
	wedged    chan struct{}
	wedgeOnce sync.Once
}

const (
	// setbackLimit is the number of background failures in a row after which
	// the store takes no commits until one succeeds: they would only fill
	// memory.
	setbackLimit = 3
	// setbackExpiry is how long a failure counts. Pebble repeats what failed,
	// within a second, unless it found that it need not be done.
	setbackExpiry = 10 * time.Second
)

func newGuardFS(fs vfs.FS, now func() time.Time) *guardFS {
	return &guardFS{
		FS: fs, now: now, retry: 200 * time.Millisecond, closing: make(chan struct{}), wedged: make(chan struct{}),
		frozenNow: make(chan struct{}),
		onFail:    func(error) {}, onFull: func() {},
	}
}

// fail makes the store failed. Only the first call counts.
func (g *guardFS) fail(err error) {
	if g.failure.CompareAndSwap(nil, &err) {
		close(g.frozenNow)
		g.onFail(err)
	}
}

// failed returns why the store failed, nil while it has not.
func (g *guardFS) failed() error {
	if err := g.failure.Load(); err != nil {
		return *err
	}
	return nil
}

func (g *guardFS) frozen() bool { return g.failure.Load() != nil }

// full says whether a write is waiting for space, or background work failed for
// lack of it.
func (g *guardFS) full() bool { return g.waiting.Load() > 0 || g.noSpace.Load() && g.recent() }

// stuck says whether background work fails again and again.
func (g *guardFS) stuck() bool { return g.setbacks.Load() >= setbackLimit && g.recent() }

// recent says whether the last setback still counts.
func (g *guardFS) recent() bool {
	return g.now().Sub(time.Unix(0, g.setbackAt.Load())).Abs() < setbackExpiry
}

// release ends all waiting, for good.
func (g *guardFS) release() { g.closeOnce.Do(func() { close(g.closing) }) }

// setback records the outcome of a background job.
func (g *guardFS) setback(err error) {
	if err == nil {
		g.setbacks.Store(0)
		g.noSpace.Store(false)
		return
	}
	g.setbackAt.Store(g.now().UnixNano())
	g.setbacks.Add(1)
	g.noSpace.Store(vfs.IsNoSpaceError(err))
}

// pause waits for d, less when the store is being closed.
func (g *guardFS) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-g.closing:
		return false
	}
}

// persist calls write until it does not fail for lack of space. It is not for
// syncs: one that failed may have lost what the next would claim to have synced.
func (g *guardFS) persist(write func() error) error {
	err := write()
	if !vfs.IsNoSpaceError(err) || !g.armed.Load() {
		return err
	}
	g.waiting.Add(1)
	defer g.waiting.Add(-1)
	g.onFull()
	for vfs.IsNoSpaceError(err) && !g.frozen() && g.pause(g.retry) {
		err = write()
	}
	return err
}

// forgive does something to a write-ahead log or a directory. It returns no
// error, since Pebble could not live with it: the store fails instead.
func (g *guardFS) forgive(what, name string, op func() error) {
	if g.frozen() {
		return
	}
	if err := op(); err != nil {
		g.fail(fmt.Errorf("%s %s: %w", what, filepath.Base(name), err))
	}
}

// wedge says that part of Pebble will never return.
func (g *guardFS) wedge() { g.wedgeOnce.Do(func() { close(g.wedged) }) }

// manifest does something to a manifest. When that fails, Pebble, which holds none
// of its locks here, is kept from learning of it: it would panic over what it had
// prepared.
func (g *guardFS) manifest(what, name string, op func() error) error {
	err := errFrozen
	if !g.frozen() {
		err = op()
	}
	if err == nil || !g.armed.Load() {
		return err
	}
	g.fail(fmt.Errorf("%s %s: %w", what, filepath.Base(name), err))
	g.wedge()
	select {}
}

// write does something that takes space to a file that is no log.
func (g *guardFS) write(what, name string, op func() error) error {
	if kindOf(name) == fileManifest {
		return g.manifest(what, name, func() error { return g.persist(op) })
	}
	if g.frozen() {
		return errFrozen
	}
	return op()
}

// create makes a file by one of the ways of vfs.FS.
func (g *guardFS) create(name string, make func() (vfs.File, error)) (vfs.File, error) {
	kind := kindOf(name)
	if kind == fileTable && g.armed.Load() {
		g.backOff()
	}
	var f vfs.File
	op := func() (err error) {
		f, err = make()
		return err
	}
	if kind == fileLog {
		g.forgive("create", name, func() error { return g.persist(op) })
		if g.frozen() {
			f = nil // a file that was made all the same is found at the next start
		} else {
			f = &aheadFile{File: f}
		}
		return &guardedFile{File: f, fs: g, name: name, kind: kind}, nil
	}
	if err := g.write("create", name, op); err != nil {
		return nil, err
	}
	return &guardedFile{File: f, fs: g, name: name, kind: kind}, nil
}

// backOff waits after failed background work, up to a second.
func (g *guardFS) backOff() {
	n := g.setbacks.Load()
	if g.frozen() {
		n = 7
	}
	if n > 0 {
		g.pause(min(10*time.Millisecond<<min(n, 7), time.Second))
	}
}

// Create implements [vfs.FS].
func (g *guardFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return g.create(name, func() (vfs.File, error) { return g.FS.Create(name, category) })
}

// ReuseForWrite implements [vfs.FS]. A file that is used again has what it had
// before until that is written over; while scrubbing it must not.
func (g *guardFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if g.scrubbing.Load() > 0 {
		return g.create(newname, func() (vfs.File, error) {
			if err := g.FS.Remove(oldname); err != nil && !errors.Is(err, os.ErrNotExist) {
				return nil, err
			}
			return g.FS.Create(newname, category)
		})
	}
	return g.create(newname, func() (vfs.File, error) { return g.FS.ReuseForWrite(oldname, newname, category) })
}

// OpenReadWrite implements [vfs.FS].
func (g *guardFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return g.create(name, func() (vfs.File, error) { return g.FS.OpenReadWrite(name, category, opts...) })
}

// OpenDir implements [vfs.FS].
func (g *guardFS) OpenDir(name string) (vfs.File, error) {
	f, err := g.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &guardedFile{File: f, fs: g, name: name, kind: fileDir}, nil
}

// Lock implements [vfs.FS]. The store holds the lock, for longer than Pebble may
// know.
func (g *guardFS) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// Link implements [vfs.FS].
func (g *guardFS) Link(oldname, newname string) error {
	return g.write("link", newname, func() error { return g.FS.Link(oldname, newname) })
}

// Rename implements [vfs.FS].
func (g *guardFS) Rename(oldname, newname string) error {
	return g.write("rename", newname, func() error { return g.FS.Rename(oldname, newname) })
}

// Remove implements [vfs.FS].
func (g *guardFS) Remove(name string) error {
	if g.frozen() {
		return errFrozen
	}
	err := g.FS.Remove(name)
	g.keptMu.Lock()
	defer g.keptMu.Unlock()
	if err == nil || errors.Is(err, os.ErrNotExist) {
		delete(g.kept, name)
		return err
	}
	if g.kept == nil {
		g.kept = map[string]struct{}{}
	}
	g.kept[name] = struct{}{}
	return err
}

// removeKept removes what could not be removed before.
func (g *guardFS) removeKept() error {
	g.keptMu.Lock()
	names := slices.Collect(maps.Keys(g.kept))
	g.keptMu.Unlock()
	for _, name := range names {
		if err := g.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// RemoveAll implements [vfs.FS].
func (g *guardFS) RemoveAll(name string) error {
	if g.frozen() {
		return errFrozen
	}
	return g.FS.RemoveAll(name)
}

// Unwrap implements [vfs.FS].
func (g *guardFS) Unwrap() vfs.FS { return g.FS }

// guardedFile is a file of a guardFS. File is nil for a log that could not be
// made.
type guardedFile struct {
	vfs.File
	fs   *guardFS
	name string
	kind fileKind
}

// forgiving says that Pebble cannot live with errors of the file.
func (f *guardedFile) forgiving() bool { return f.kind == fileLog || f.kind == fileDir }

// Write implements [vfs.File]. After a lack of space it goes on with what was
// not written.
func (f *guardedFile) Write(p []byte) (int, error) {
	done := 0
	op := func() error {
		n, err := f.File.Write(p[done:])
		done += n
		return err
	}
	if f.forgiving() {
		f.fs.forgive("write", f.name, func() error { return f.fs.persist(op) })
		return len(p), nil
	}
	err := f.fs.write("write", f.name, op)
	return done, err
}

// WriteAt implements [vfs.File].
func (f *guardedFile) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.fs.write("write", f.name, func() (err error) {
		n, err = f.File.WriteAt(p, off)
		return err
	})
	return n, err
}

func (f *guardedFile) sync(op func() error) error {
	if f.forgiving() {
		f.fs.forgive("sync", f.name, op)
		return nil
	}
	if f.kind == fileManifest {
		return f.fs.manifest("sync", f.name, op)
	}
	if f.fs.frozen() {
		return errFrozen
	}
	return op()
}

// Preallocate implements [vfs.File]. It only saves time, so it may fail.
func (f *guardedFile) Preallocate(offset, length int64) error {
	if f.fs.frozen() {
		return errFrozen
	}
	return f.File.Preallocate(offset, length)
}

// Sync implements [vfs.File].
func (f *guardedFile) Sync() error { return f.sync(func() error { return f.File.Sync() }) }

// SyncData implements [vfs.File].
func (f *guardedFile) SyncData() error { return f.sync(func() error { return f.File.SyncData() }) }

// SyncTo implements [vfs.File].
func (f *guardedFile) SyncTo(length int64) (full bool, err error) {
	err = f.sync(func() (err error) {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, err
}

// Close implements [vfs.File].
func (f *guardedFile) Close() error {
	if f.File == nil {
		return nil
	}
	err := f.File.Close()
	switch {
	case err == nil, f.kind == fileTable:
		return err
	case f.kind != fileManifest: // which was synced, or is no longer used
		f.fs.fail(fmt.Errorf("close %s: %w", filepath.Base(f.name), err))
	}
	return nil
}

// Stat implements [vfs.File]. Pebble asks for the size of a log that it reuses,
// and cannot live with an error.
func (f *guardedFile) Stat() (vfs.FileInfo, error) {
	if f.File == nil {
		return emptyInfo{}, nil
	}
	info, err := f.File.Stat()
	if err != nil && f.forgiving() {
		f.fs.fail(fmt.Errorf("stat %s: %w", filepath.Base(f.name), err))
		return emptyInfo{}, nil
	}
	return info, err
}

// Fd implements [vfs.File].
func (f *guardedFile) Fd() uintptr {
	if f.File == nil {
		return vfs.InvalidFd
	}
	return f.File.Fd()
}

// emptyInfo is what there is to say of a log that could not be made: its size is
// zero, and Pebble asks for nothing else.
type emptyInfo struct{ vfs.FileInfo }

// Size returns zero.
func (emptyInfo) Size() int64 { return 0 }
