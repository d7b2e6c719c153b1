package server

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
)

const bodyLimit = 100_000

// echo answers with the body, at most bodyLimit bytes of it.
func echo(t testing.TB) *bench {
	return setUp(t, Route{Name: "echo", Method: "POST", Pattern: "/echo", Access: auth.Public(), Handler: func(w http.ResponseWriter, r *Request) error {
		body, err := ReadBody(r, bodyLimit)
		if err != nil {
			return err
		}
		_, err = w.Write(body)
		return err
	}})
}

func gzipped(t testing.TB, parts ...[]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, part := range parts {
		z := gzip.NewWriter(&out)
		if _, err := z.Write(part); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

func zstded(t testing.TB, part []byte, opts ...zstd.EOption) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return z.EncodeAll(part, nil)
}

// noise is bytes that do not compress.
func noise(n int) []byte {
	r := rand.NewChaCha8([32]byte{})
	out := make([]byte, n)
	_, _ = r.Read(out)
	return out
}

func TestReadBody(t *testing.T) {
	b := echo(t)
	for _, n := range []int{0, 1, smallBody - 1, smallBody, smallBody + 1, bodyLimit - 1, bodyLimit} {
		body := bytes.Repeat([]byte("x"), n)
		for encoding, sent := range map[string][]byte{
			"": body, "identity": body, "gzip": gzipped(t, body), "X-GZIP ": gzipped(t, body[:n/2], body[n/2:]),
			"zstd": append(zstded(t, body[:n/3]), zstded(t, body[n/3:])...),
		} {
			for _, length := range []int64{int64(len(sent)), -1} {
				w := b.do("POST", "/echo", withBody(sent, encoding), func(r *http.Request) { r.ContentLength = length })
				if w.Code != 200 || !bytes.Equal(w.Body.Bytes(), body) {
					t.Errorf("%d bytes as %q of length %d: %d, %.100s", n, encoding, length, w.Code, w.Body)
				}
			}
		}
	}
	if left := b.server.bodies.free.Load(); left != DefaultBodyMemory {
		t.Errorf("%d bytes were not given back", DefaultBodyMemory-left)
	}
}

func TestReadBodyIsRefused(t *testing.T) {
	b := echo(t)
	over := bytes.Repeat([]byte("x"), bodyLimit+1)
	good := gzipped(t, []byte("hello"))
	flipped := bytes.Clone(good)
	flipped[len(flipped)-6] ^= 1 // in the checksum
	window := zstded(t, noise(20<<20), zstd.WithWindowSize(16<<20))
	tests := []struct {
		name, encoding string
		body           []byte
		status         int
		code           string
	}{
		{"one byte more", "", over, 413, "too_large"},
		{"one byte more, gzip", "gzip", gzipped(t, over), 413, "too_large"},
		{"one byte more, zstd", "zstd", zstded(t, over), 413, "too_large"},
		{"gzip bomb", "gzip", gzipped(t, make([]byte, 50_000_000)), 413, "too_large"},
		{"zstd bomb", "zstd", zstded(t, make([]byte, 50_000_000)), 413, "too_large"},
		{"too large before decompression", "gzip", gzipped(t, noise(bodyLimit+1)), 413, "too_large"},
		{"many empty members", "gzip", bytes.Repeat(gzipped(t, nil), 10_000), 413, "too_large"},
		{"not gzip", "gzip", []byte("hello"), 400, "invalid_request"},
		{"empty gzip", "gzip", nil, 400, "invalid_request"},
		{"cut gzip", "gzip", good[:len(good)-9], 400, "invalid_request"},
		{"wrong checksum", "gzip", flipped, 400, "invalid_request"},
		{"bytes after gzip", "gzip", append(bytes.Clone(good), "x"...), 400, "invalid_request"},
		{"not zstd", "zstd", []byte("hello"), 400, "invalid_request"},
		{"cut zstd", "zstd", zstded(t, []byte("hello"))[:9], 400, "invalid_request"},
		{"zstd window", "zstd", window[:50_000], 400, "invalid_request"},
		{"unknown encoding", "br", []byte("hello"), 415, "unsupported_media"},
		{"two encodings", "gzip, zstd", good, 415, "unsupported_media"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, length := range []int64{int64(len(tt.body)), -1} {
				w := b.do("POST", "/echo", withBody(tt.body, tt.encoding), func(r *http.Request) { r.ContentLength = length })
				wantProblem(t, w, tt.status, tt.code)
			}
			// What went wrong must not stick to a reader in the pool.
			if w := b.do("POST", "/echo", withBody(good, "gzip")); w.Body.String() != "hello" {
				t.Errorf("afterwards gzip: %s", w.Body)
			}
			if w := b.do("POST", "/echo", withBody(zstded(t, []byte("hello")), "zstd")); w.Body.String() != "hello" {
				t.Errorf("afterwards zstd: %s", w.Body)
			}
		})
	}
}

// A bomb costs the limit, not what it would unpack to.
func TestBombIsCheap(t *testing.T) {
	b := echo(t)
	var bomb bytes.Buffer
	z, err := zstd.NewWriter(&bomb)
	if err != nil {
		t.Fatal(err)
	}
	const size = 500 << 20
	if _, err := io.Copy(z, io.LimitReader(zeros{}, size)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	wantProblem(t, b.do("POST", "/echo", withBody(bomb.Bytes(), "zstd")), 413, "too_large")
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 2*maxWindow {
		t.Errorf("%d bytes allocated for a bomb of %d", took, size)
	}
}

// unread is a body that must not be touched.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) { u.t.Error("read"); return 0, io.EOF }
func (u unread) Close() error             { return nil }

// A body that says that it is too large is refused before it is sent.
func TestDeclaredTooLarge(t *testing.T) {
	w := echo(t).do("POST", "/echo", func(r *http.Request) { r.Body, r.ContentLength = unread{t}, bodyLimit+1 })
	wantProblem(t, w, 413, "too_large")
}

func TestReadBodyTwice(t *testing.T) {
	b := setUp(t, Route{Name: "x", Method: "POST", Pattern: "/x", Access: auth.Public(), Handler: func(_ http.ResponseWriter, r *Request) error {
		if _, err := ReadBody(r, 10); err != nil {
			return err
		}
		_, err := ReadBody(r, 10)
		return err
	}})
	wantProblem(t, b.do("POST", "/x", withBody([]byte("x"), "")), 500, "internal")
}

// All large bodies together are bounded, small ones always pass.
func TestBodyMemory(t *testing.T) {
	reading, release := make(chan struct{}), make(chan struct{})
	b := setUpWith(t, Config{BodyMemory: 3 * bodyLimit}, Surface{Name: "test", Errors: Problem, Routes: []Route{{
		Name: "hold", Method: "POST", Pattern: "/hold", Access: auth.Public(),
		Handler: func(_ http.ResponseWriter, r *Request) error {
			_, err := ReadBody(r, bodyLimit)
			if r.URL.RawQuery == "hold" {
				reading <- struct{}{}
				<-release
			}
			return err
		},
	}}})
	large, small := bytes.Repeat([]byte("x"), bodyLimit), bytes.Repeat([]byte("x"), smallBody-1)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { b.do("POST", "/hold?hold", withBody(large, "")) })
		<-reading
	}
	w := b.do("POST", "/hold", withBody(large, ""))
	wantProblem(t, w, 503, "overloaded")
	if w := b.do("POST", "/hold", withBody(small, "")); w.Code != 200 {
		t.Errorf("small: %d %s", w.Code, w.Body)
	}
	close(release)
	wg.Wait()
	if w := b.do("POST", "/hold", withBody(large, "")); w.Code != 200 {
		t.Errorf("afterwards: %d %s", w.Code, w.Body)
	}
	if left := b.server.bodies.free.Load(); left != 3*bodyLimit {
		t.Errorf("%d bytes were not given back", 3*bodyLimit-left)
	}
}

// Bodies of concurrent requests must not mix in the pooled buffers.
func TestBodiesStayApart(t *testing.T) {
	b := echo(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 50 {
				body := bytes.Repeat([]byte{byte('a' + i)}, (n*7919)%bodyLimit)
				sent, encoding := body, ""
				switch n % 3 {
				case 1:
					sent, encoding = gzipped(t, body), "gzip"
				case 2:
					sent, encoding = zstded(t, body), "zstd"
				}
				if w := b.do("POST", "/echo", withBody(sent, encoding)); !bytes.Equal(w.Body.Bytes(), body) {
					t.Errorf("%d: another body came back: %d, %.100s", i, w.Code, w.Body)
				}
			}
		})
	}
	wg.Wait()
}

func TestReadBodyRoundTrip(t *testing.T) {
	b := echo(t)
	rapid.Check(t, func(rt *rapid.T) {
		body := rapid.SliceOfN(rapid.Byte(), 0, 5000).Draw(rt, "body")
		body = bytes.Repeat(body, rapid.IntRange(1, 20).Draw(rt, "times"))
		sent := map[string][]byte{"gzip": gzipped(t, body), "zstd": zstded(t, body)}
		encoding := rapid.SampledFrom([]string{"gzip", "zstd"}).Draw(rt, "encoding")
		if w := b.do("POST", "/echo", withBody(sent[encoding], encoding)); w.Code != 200 || !bytes.Equal(w.Body.Bytes(), body) {
			rt.Fatalf("%d", w.Code)
		}
	})
}

// A client that goes away in the middle of its body leaves nothing behind that
// looks like a body.
func TestBodyEndsEarly(t *testing.T) {
	got := make(chan error, 1)
	b := setUp(t, Route{Name: "x", Method: "POST", Pattern: "/x", Access: auth.Public(), Handler: func(_ http.ResponseWriter, r *Request) error {
		_, err := ReadBody(r, bodyLimit)
		got <- err
		return err
	}})
	web := httptest.NewServer(b.server)
	defer web.Close()
	conn, err := net.Dial("tcp", strings.TrimPrefix(web.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345"); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if e, ok := errors.AsType[*audit.Error](<-got); !ok || e.Code != audit.CodeInvalidRequest || e.Message != "the body ended early" {
		t.Errorf("error %v", e)
	}
}

type sample struct {
	Name  string              `json:"name"`
	Count int                 `json:"count"`
	At    time.Time           `json:"at"`
	Deep  []struct{ X *bool } `json:"deep"`
	More  map[string]any      `json:"more"`
}

func TestDecodeJSON(t *testing.T) {
	b := setUp(t,
		Route{Name: "strict", Method: "POST", Pattern: "/strict", Access: auth.Public(), Handler: func(w http.ResponseWriter, r *Request) error {
			var v sample
			if err := DecodeJSON(r, &v); err != nil {
				return err
			}
			return WriteJSON(w, 200, v)
		}},
		Route{Name: "open", Method: "POST", Pattern: "/open", Access: auth.Public(), Handler: func(w http.ResponseWriter, r *Request) error {
			var v sample
			if err := DecodeJSONOpen(r, &v); err != nil {
				return err
			}
			return WriteJSON(w, 200, v)
		}})
	tests := []struct {
		name, body, code, field string
	}{
		{"empty", ``, "invalid_json", ""},
		{"space", ` `, "invalid_json", ""},
		{"cut", `{"name":"x"`, "invalid_json", ""},
		{"text", `hello`, "invalid_json", ""},
		{"comma", `{"name":"x",}`, "invalid_json", ""},
		{"trailing", `{"name":"x"} {}`, "invalid_json", ""},
		{"twice", `{"name":"x","name":"y"}`, "invalid_json", "/name"},
		{"twice below", `{"more":{"a/b":1,"a/b":2}}`, "invalid_json", "/more/a~1b"},
		{"invalid UTF-8", "{\"name\":\"\xff\"}", "invalid_json", "/name"},
		{"lone surrogate", `{"name":"\ud800"}`, "invalid_json", "/name"},
		{"leading zero", `{"count":01}`, "invalid_json", ""},
		{"array", `[]`, "invalid_request", ""},
		{"string", `{"name":1}`, "invalid_request", "/name"},
		{"number", `{"count":"1"}`, "invalid_request", "/count"},
		{"fraction", `{"count":1.5}`, "invalid_request", "/count"},
		{"overflow", `{"count":1e30}`, "invalid_request", "/count"},
		{"time", `{"at":"yesterday"}`, "invalid_request", "/at"},
		{"below", `{"deep":[{},{"X":"no"}]}`, "invalid_request", "/deep/1/X"},
		{"unknown", `{"nam":1}`, "unknown_field", "/nam"},
		{"unknown below", `{"deep":[{"y":1}]}`, "unknown_field", "/deep/0/y"},
		{"case", `{"Name":"x"}`, "unknown_field", "/Name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := b.do("POST", "/strict", withBody([]byte(tt.body), ""))
			p := wantProblem(t, w, StatusOf(audit.Code(tt.code)), tt.code)
			if p.Field != tt.field {
				t.Errorf("field %q, want %q: %s", p.Field, tt.field, p.Detail)
			}
			w = b.do("POST", "/open", withBody([]byte(tt.body), ""))
			if ignored := tt.code == "unknown_field"; ignored != (w.Code == 200) {
				t.Errorf("open: %d %s", w.Code, w.Body)
			}
		})
	}
	const good = `{"name":"x","count":1,"at":"2026-03-01T09:30:00Z","deep":[{"X":true}],"more":{}}`
	for contentType, status := range map[string]int{
		"": 200, "application/json": 200, "application/json; charset=utf-8": 200, "application/scim+json": 200,
		"text/plain": 415, "application/x-www-form-urlencoded": 415, ";": 415,
	} {
		w := b.do("POST", "/strict", withBody([]byte(good), ""), withHeader("Content-Type", contentType))
		if w.Code != status || status == 200 && strings.TrimSpace(w.Body.String()) != good {
			t.Errorf("%q: %d %s", contentType, w.Code, w.Body)
		}
	}
	large := `{"name":"` + strings.Repeat("x", MaxJSONBytes) + `"}`
	wantProblem(t, b.do("POST", "/strict", withBody([]byte(large), "")), 413, "too_large")
}

// A type that reads itself may say what is wrong in its own words.
type picky struct{}

func (*picky) UnmarshalJSON([]byte) error {
	return audit.FieldErrorf(audit.CodeInvalidQuery, "/q", "no")
}

func TestDecodeBytes(t *testing.T) {
	var v struct {
		P picky `json:"p"`
	}
	err := DecodeBytes([]byte(`{"p":1}`), &v)
	if diff := cmp.Diff(error(audit.FieldErrorf(audit.CodeInvalidQuery, "/q", "no")), err); diff != "" {
		t.Error(diff)
	}
}

// FuzzDecode holds that whatever DecodeBytes takes, the standard library reads
// the same, and that every refusal is for the caller.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"name":"x","count":1,"at":"2026-03-01T09:30:00Z","deep":[{"X":true}],"more":{"a":[1,null]}}`))
	f.Add([]byte(`{"name":"x","name":"y"}`))
	f.Add([]byte(`{"name":"\ud800"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var got, want sample
		if err := DecodeBytes(data, &got); err != nil {
			if _, ok := errors.AsType[*audit.Error](err); !ok {
				t.Fatalf("%q: %v", data, err)
			}
			return
		}
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q: %s", data, diff)
		}
	})
}
