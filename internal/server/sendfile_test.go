package server

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// fileTaker is a connection's end that takes files as they are, and counts them.
type fileTaker struct {
	*httptest.ResponseRecorder
	files int
}

func (f *fileTaker) ReadFrom(src io.Reader) (int64, error) {
	if limit, ok := src.(*io.LimitedReader); ok {
		if _, ok := limit.R.(*os.File); ok {
			f.files++
		}
	}
	return io.Copy(f.Body, src)
}

func testFile(t testing.TB, size int) (*os.File, []byte) {
	t.Helper()
	data := bytes.Repeat([]byte("0123456789abcde\n"), size/16+1)[:size]
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f, data
}

// TestFilesAreSentAsFiles serves a file: all of it reaches what is below as a
// file, in steps that each begin the client's time anew.
func TestFilesAreSentAsFiles(t *testing.T) {
	f, data := testFile(t, 2*sendStep+100)
	for name, tt := range map[string]struct {
		header string
		files  int
		want   []byte
	}{
		"whole": {"", 3, data},
		"part":  {"bytes=10-99", 1, data[10:100]},
	} {
		below := &fileTaker{ResponseRecorder: httptest.NewRecorder()}
		asked := 0
		now := func() time.Time { asked++; return time.Unix(int64(asked), 0) }
		w := &response{ResponseWriter: below, control: *http.NewResponseController(below), req: &Request{}, now: now}
		req := httptest.NewRequestWithContext(t.Context(), "GET", "/x", nil)
		req.Header.Set("Range", tt.header)
		http.ServeContent(w, req, "", time.Time{}, f)
		if got := below.Body.Bytes(); !bytes.Equal(got, tt.want) || w.bytes != int64(len(tt.want)) || w.gone {
			t.Errorf("%s: sent %d bytes and counted %d of %d, gone: %t", name, len(got), w.bytes, len(tt.want), w.gone)
		}
		if below.files != tt.files || asked < tt.files {
			t.Errorf("%s: %d parts of a file, want %d; the time was looked at %d times", name, below.files, tt.files, asked)
		}
	}
	below := httptest.NewRecorder()
	w := &response{ResponseWriter: below, control: *http.NewResponseController(below), req: &Request{}, now: time.Now}
	if n, err := w.ReadFrom(bytes.NewReader(data[:1000])); n != 1000 || err != nil || w.bytes != n || !bytes.Equal(below.Body.Bytes(), data[:1000]) {
		t.Errorf("no file: %d bytes, %v, counted %d", n, err, w.bytes)
	}
	_ = f.Close()
	if n, err := w.ReadFrom(f); n != 0 || err == nil || w.gone {
		t.Errorf("a file that cannot be read: %d bytes, %v, the client is gone: %t", n, err, w.gone)
	}
}

// BenchmarkDownload serves a file to a client over loopback.
func BenchmarkDownload(b *testing.B) {
	f, data := testFile(b, 512<<20)
	for name, hidden := range map[string]bool{"file": false, "copied": true} {
		b.Run(name, func(b *testing.B) {
			srv := httptest.NewServer(http.HandlerFunc(func(below http.ResponseWriter, r *http.Request) {
				w := &response{ResponseWriter: below, control: *http.NewResponseController(below), req: &Request{}, now: time.Now}
				if hidden {
					http.ServeContent(struct{ http.ResponseWriter }{w}, r, "", time.Time{}, f)
					return
				}
				http.ServeContent(w, r, "", time.Time{}, f)
			}))
			defer srv.Close()
			b.SetBytes(int64(len(data)))
			buf := make([]byte, 1<<20)
			for b.Loop() {
				res, err := srv.Client().Get(srv.URL)
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, res.Body, buf); err != nil || n != int64(len(data)) {
					b.Fatal(n, err)
				}
				_ = res.Body.Close()
			}
		})
	}
}
