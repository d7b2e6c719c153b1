package sink

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/egress"
	"github.com/stelehq/stele/internal/event"
)

// clock is the time of all tests here.
func clock() time.Time { return time.Date(2026, 11, 20, 10, 30, 0, 0, time.UTC) }

func env(t testing.TB) Env {
	t.Helper()
	g, err := egress.New([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	return Env{Dial: g.Dial, Now: clock, UserAgent: "stele/test", Server: "audit.example.com", Stream: "str_1"}
}

// batch makes n events from seq first on, in the native JSON.
func batch(t testing.TB, first, n int) *Batch {
	t.Helper()
	b := &Batch{
		ID: fmt.Sprintf("b-%d-%d", first, n), Stream: "str_1", Organization: "org_1", OrganizationName: "Acme",
		First: uint64(first), Last: uint64(first + n - 1), Format: "json", JSON: true, ContentType: "application/json", Attempt: 1,
	}
	for i := range n {
		seq := first + i
		e, err := event.FromAudit(&audit.Event{
			Action: "api_key.created", OccurredAt: clock().Add(time.Duration(seq)*time.Millisecond + 123456*time.Nanosecond),
			Actor:   audit.Actor{Type: "user", ID: "u1", Name: "Ann \"A\" Lee"},
			Targets: []audit.Target{{Type: "api_key", ID: fmt.Sprint("k", seq)}},
			Context: audit.Context{Location: "203.0.113.7", UserAgent: "Mozilla/5.0 <x>"},
		})
		if err != nil {
			t.Fatal(err)
		}
		entry := &event.Entry{Event: *e, Seq: uint64(seq), ReceivedAt: clock().UnixMilli() + int64(seq)}
		copy(entry.ID[:], fmt.Sprintf("01KAF%021d", seq))
		ev := Event{
			Seq: entry.Seq, ID: entry.ID, OccurredAt: entry.OccurredTime(), ReceivedAt: entry.ReceivedTime(),
			Encoded: entry.AppendJSON(nil, b.Organization), Entry: entry,
		}
		b.Bytes += len(ev.Encoded)
		b.Events = append(b.Events, ev)
	}
	return b
}

// fullest makes the largest batch that a sink's limits allow, of events that are
// pad bytes longer than those of batch.
func fullest(t testing.TB, s Sink, first, pad int) *Batch {
	t.Helper()
	l := s.Limits()
	b := batch(t, first, 1)
	size := len(b.Events[0].Encoded) + 16 + pad // and some digits, and the name of the member
	b = batch(t, first, max(1, min(l.MaxEvents, l.MaxBytes/(size+l.EventOverhead))))
	b.ID, b.Bytes = b.ID+"-full", 0
	for i := range b.Events {
		ev := &b.Events[i]
		ev.Encoded = append(ev.Encoded[:len(ev.Encoded)-1], `,"pad":"`+strings.Repeat("p", pad)+`"}`...)
		b.Bytes += len(ev.Encoded)
	}
	return b
}

// checkpoint makes a checkpoint record.
func checkpoint() *Batch {
	text := []byte(`{"type":"stele.checkpoint","size":10}`)
	return &Batch{
		ID: "cp-9", Stream: "str_1", Organization: "org_1", First: 9, Last: 9, Format: "json", JSON: true, Attempt: 1, Bytes: len(text),
		Checkpoint: []byte("note"), Events: []Event{{Seq: 9, OccurredAt: clock(), ReceivedAt: clock(), Encoded: text}},
	}
}

// server starts a TLS server and gives its settings for the CA.
func server(t testing.TB, h http.Handler) (*httptest.Server, string) {
	t.Helper()
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	return s, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

// open makes a sink as the engine does: resolved settings, then Open.
func open(t testing.TB, k Kind, v Values) Sink {
	t.Helper()
	v, err := k.Resolve(v)
	if err != nil {
		t.Fatal(err)
	}
	s, err := k.Open(v, env(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// send wants success.
func send(t testing.TB, s Sink, b *Batch) Answer {
	t.Helper()
	a, err := s.Send(t.Context(), b)
	if err != nil {
		t.Fatalf("send: %v", err)
	}
	return a
}

// refuse wants an error of a class, whose message has some words. The result is
// no error of refuse's own, so it is not one by type.
func refuse(t testing.TB, s Sink, b *Batch, class Class, words ...string) Error {
	t.Helper()
	_, err := s.Send(t.Context(), b)
	if err == nil {
		t.Fatalf("sent, want %s", class)
	}
	e := AsError(err)
	if e.Class != class {
		t.Errorf("class %s (%v), want %s", e.Class, err, class)
	}
	for _, w := range words {
		if !strings.Contains(e.Message, w) {
			t.Errorf("%q does not say %q", e.Message, w)
		}
	}
	return *e
}

// wantEvents holds what arrived to what was sent: once, in order, unaltered.
func wantEvents(t testing.TB, got []string, batches ...*Batch) {
	t.Helper()
	var want []string
	for _, b := range batches {
		for i := range b.Events {
			want = append(want, string(b.Events[i].Encoded))
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d events arrived, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("event %d:\n got %.999s\nwant %.999s", i, got[i], want[i])
		}
	}
}

// readBody reads a request's body, inflating it where it says so.
func readBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Header.Get("Content-Encoding") != "gzip" {
		return body, err
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// faulty stands in front of a receiver and fails when told to.
type faulty struct {
	mu    sync.Mutex
	next  http.Handler
	fault http.HandlerFunc // nil lets through
}

func (f *faulty) set(h http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = h
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	h := f.fault
	f.mu.Unlock()
	if h == nil || strings.HasSuffix(r.URL.Path, "/token") { // the authority for tokens is another server
		f.next.ServeHTTP(w, r)
		return
	}
	h(w, r)
}

// httpCase is a destination over HTTP for checkHTTP.
type httpCase struct {
	kind     Kind
	receiver http.Handler
	// settings make the sink write to url and trust ca.
	settings func(url, ca string) Values
	// arrived are the events the receiver has.
	arrived func() []string
	// wrong is the name of a secret, and its wrong value, that the receiver
	// refuses; says is what the error then has to say.
	wrong, value, says string
	// secrets must never come back.
	secrets []string
	// own are statuses for which the destination has another class.
	own map[int]Class
}

// checkHTTP holds a destination over HTTP to what all of them do.
func checkHTTP(t *testing.T, c httpCase) {
	t.Helper()
	f := &faulty{next: c.receiver}
	srv, ca := server(t, f)
	s := open(t, c.kind, c.settings(srv.URL, ca))
	if _, lists := s.(Lister); lists != c.kind.Lists {
		t.Errorf("the kind says that it lists: %t", c.kind.Lists)
	}

	first, second := batch(t, 0, 40), batch(t, 40, 3)
	send(t, s, first)
	sent := []*Batch{first}
	if s.Limits().MaxBytes <= 5<<20 { // others have no limits near
		sent = append(sent, fullest(t, s, 1000, 0), fullest(t, s, 10_000, 3000)) // both are taken
		send(t, s, sent[1])
		send(t, s, sent[2])
	}

	for status, class := range map[int]Class{
		302: Invalid, 400: Malformed, 401: Invalid, 403: Invalid, 404: Invalid, 408: Retry, 410: Permanent, 413: TooLarge,
		422: Malformed, 425: Retry, 429: RateLimited, 500: Retry, 502: Retry, 503: RateLimited, 504: Retry,
	} {
		if own, ok := c.own[status]; ok {
			class = own
		}
		f.set(func(w http.ResponseWriter, r *http.Request) {
			body, err := readBody(r)
			if err != nil {
				t.Error(err)
			}
			if status == 429 || status == 503 {
				w.Header().Set("Retry-After", "7")
			}
			w.Header().Set("Location", "/else")
			w.WriteHeader(status)
			// A receiver that repeats all it was told, secrets and all.
			answerf(w, "no \x1b[31m %s %v %s", r.URL, r.Header, body)
		})
		e := refuse(t, s, second, class)
		if want := map[int]time.Duration{429: 7 * time.Second, 503: 7 * time.Second}[status]; e.RetryAfter != want {
			t.Errorf("%d: wait %s, want %s", status, e.RetryAfter, want)
		}
		answer, err := s.Send(t.Context(), second)
		hidden(t, c.secrets, answer.Text, fmt.Sprint(err), fmt.Sprint(AsError(err).Err))
		if strings.ContainsRune(answer.Text+err.Error(), 0x1b) {
			t.Errorf("%d: control characters in %q", status, err)
		}
	}

	f.set(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		said, err := json.Marshal(map[string]any{"error": map[string]string{"message": fmt.Sprintf("no %s %v", r.URL, r.Header)}})
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(said)
	})
	hidden(t, c.secrets, refuse(t, s, second, Invalid).Message)

	// It breaks off without an answer; it accepts and never answers.
	f.set(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	hidden(t, c.secrets, refuse(t, s, second, Retry).Message)
	release := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	f.set(func(_ http.ResponseWriter, r *http.Request) {
		cancel() // only now: a request that is under way would find the receiver well
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	_, err := s.Send(ctx, second)
	cancel()
	close(release)
	if e := AsError(err); e.Class != Retry || e.Code != "timeout" {
		t.Errorf("a receiver that hangs: %v %v", e.Class, err)
	}
	f.set(nil)

	// It comes back; what is not acknowledged has not been counted.
	send(t, s, second)
	wantEvents(t, c.arrived(), append(sent, second)...)

	if c.wrong != "" {
		v := c.settings(srv.URL, ca)
		v[c.wrong] = c.value
		e := refuse(t, open(t, c.kind, v), second, Invalid, c.says)
		hidden(t, []string{c.value}, e.Message)
	}

	// Nobody listens; the certificate is of an unknown authority; the address is
	// not open.
	v := c.settings(srv.URL, "")
	if e := refuse(t, open(t, c.kind, v), second, Retry, "certificate"); e.Code != "tls" {
		t.Errorf("code %s", e.Code)
	}
	v = c.settings(strings.Replace(srv.URL, "127.0.0.1", "127.0.0.2", 1), ca)
	if e := refuse(t, open(t, c.kind, v), second, Invalid, "loopback", "allow-list"); e.Code != "address_refused" {
		t.Errorf("code %s", e.Code)
	}
	srv.Close()
	if e := refuse(t, s, second, Retry); e.Code != "connection_refused" && e.Code != "connection_lost" {
		t.Errorf("code %s: %s (%v)", e.Code, e.Message, e.Err)
	}
}

// hidden fails when a text has a secret.
func hidden(t testing.TB, secrets []string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		for _, s := range secrets {
			if strings.Contains(text, s) {
				t.Fatalf("the secret %q is in %q", s, text)
			}
		}
	}
}

// fieldOf is the field that an error of Resolve names.
func fieldOf(err error) string {
	if e, ok := errors.AsType[*audit.Error](err); ok {
		return e.Field
	}
	return ""
}

// shortly is a context that ends after a time which nothing that works needs.
func shortly(t testing.TB) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), 100*time.Millisecond)
}

// answerf writes to the one who asks; that it has gone away is nothing to a
// receiver.
func answerf(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
