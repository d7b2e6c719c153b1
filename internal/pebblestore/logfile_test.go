package pebblestore

import (
	"bytes"
	"io"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"
)

// TestAheadFile holds that a log has what was written to it, in order, and after
// that nothing but zeros or what the log had before; and that small commits find
// their bytes in the file already.
func TestAheadFile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fs := vfs.NewMem()
		old := bytes.Repeat([]byte{0xff}, rapid.SampledFrom([]int{0, 100, 3 * zeroBytes}).Draw(t, "old"))
		under := openLog(t, fs, old)
		f := &aheadFile{File: under}
		if _, err := f.Stat(); err != nil {
			t.Fatal(err)
		}
		var want []byte
		for range rapid.IntRange(1, 60).Draw(t, "writes") {
			if rapid.IntRange(0, 3).Draw(t, "sync") > 0 {
				if err := f.SyncData(); err != nil {
					t.Fatal(err)
				}
			}
			p := bytes.Repeat([]byte{byte(len(want) + 1)}, rapid.SampledFrom([]int{0, 1, 5_000, 32 << 10, 100 << 10}).Draw(t, "bytes"))
			want = append(want, p...)
			if n, err := f.Write(p); n != len(p) || err != nil {
				t.Fatal(n, err)
			}
		}
		got := readLogFile(t, fs)
		if !bytes.HasPrefix(got, want) {
			t.Fatal("the log does not have what was written")
		}
		for i, b := range got[len(want):] {
			if at := i + len(want); at < len(old) && b != 0xff || at >= len(old) && b != 0 {
				t.Fatalf("byte %d after the end is %d", i, b)
			}
		}
		if len(got) > max(len(want)+zeroBytes, len(old)+zeroBytes) {
			t.Fatalf("%d bytes for %d written", len(got), len(want))
		}
	})
}

// TestAheadFileSaves counts the syncs that find the file longer than the one
// before: those cost the file system twice as much.
func TestAheadFileSaves(t *testing.T) {
	for name, c := range map[string]struct{ bytes, syncs, longer int }{
		"small": {5_000, 200, 5},   // one in 256 KiB
		"large": {200_000, 10, 10}, // nothing is prepared for those
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			under := openLog(t, fs, nil)
			f := &aheadFile{File: under}
			longer, was := 0, int64(0)
			for range c.syncs {
				if _, err := f.Write(make([]byte, c.bytes)); err != nil {
					t.Fatal(err)
				}
				if err := f.Sync(); err != nil {
					t.Fatal(err)
				}
				info, err := under.Stat()
				if err != nil {
					t.Fatal(err)
				}
				if info.Size() > was {
					longer, was = longer+1, info.Size()
				}
			}
			if longer > c.longer || name == "large" && was != int64(c.bytes*c.syncs) {
				t.Errorf("%d syncs found the file longer, want %d; it has %d bytes", longer, c.longer, was)
			}
		})
	}
}

// openLog makes a log as Pebble does: a new one, or an old one used again.
func openLog(t rapid.TB, fs vfs.FS, old []byte) vfs.File {
	t.Helper()
	f, err := fs.Create("1.log", "test")
	if err == nil && len(old) > 0 {
		_, err = f.Write(old)
		if err == nil {
			f, err = fs.ReuseForWrite("1.log", "1.log", "test")
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func readLogFile(t rapid.TB, fs vfs.FS) []byte {
	t.Helper()
	f, err := fs.Open("1.log")
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return got
}
