package api

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/schema"
)

func unzip(t *testing.T, data []byte) string {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// message is one server-sent event; a comment has only data.
type message struct{ event, id, data string }

// follower is a tail being read.
type follower struct {
	t    *testing.T
	res  *http.Response
	read *bufio.Reader
}

// tail begins to follow acme's log.
func (h *host) tail(t *testing.T, base, query string, options ...option) *follower {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+events+"/tail?"+query, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.root)
	for _, option := range options {
		option(req)
	}
	res, err := h.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	if res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		t.Fatalf("tail: %s, %s", res.Status, res.Header.Get("Content-Type"))
	}
	return &follower{t: t, res: res, read: bufio.NewReader(res.Body)}
}

// next reads a message; false at the end.
func (s *follower) next() (m message, ok bool) {
	s.t.Helper()
	for {
		line, err := s.read.ReadString('\n')
		if err != nil {
			return m, false
		}
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			return m, true
		}
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "event":
			m.event = value
		case "id":
			m.id = value
		case "data", "", "retry":
			m.data = value
		default:
			s.t.Fatalf("a line %q", line)
		}
	}
}

// entries reads until n entries came, and returns their seq as in the data; the
// positions that came between must not be ahead of what came.
func (s *follower) entries(n int) []uint64 {
	s.t.Helper()
	var got []uint64
	for len(got) < n {
		m, ok := s.next()
		if !ok {
			s.t.Fatalf("the stream ended after %d of %d entries", len(got), n)
		}
		if m.event != "entry" {
			continue
		}
		var e audit.Entry
		if err := json.Unmarshal([]byte(m.data), &e); err != nil {
			s.t.Fatalf("%v in %q", err, m.data)
		}
		if m.id != fmt.Sprint(e.Seq) {
			s.t.Errorf("id %s of entry %d", m.id, e.Seq)
		}
		got = append(got, e.Seq)
	}
	return got
}

func TestTail(t *testing.T) {
	h := start(t, schema.ModeOpen)
	old := h.append("[" + minimal + "," + minimal + "]")

	fresh := h.tail(t, h.url, "")
	if m, _ := fresh.next(); m.data != "1000" {
		t.Errorf("first %+v, want the pause before a retry", m)
	}
	position := fmt.Sprintf(`{"seq":1,"received_at":"%s"}`, old.Entries[1].ReceivedAt)
	if m, _ := fresh.next(); m != (message{"position", "1", position}) {
		t.Errorf("then %+v, want the position", m)
	}
	whole := h.tail(t, h.url, "from=0")
	if diff := cmp.Diff([]uint64{0, 1}, whole.entries(2)); diff != "" {
		t.Error(diff)
	}
	only := h.tail(t, h.url, "from=0&q=action:other")
	other := strings.Replace(minimal, "a.b", "other", 1)
	h.append("[" + minimal + "," + other + "," + minimal + "]")
	h.append(other)
	for name, got := range map[string][]uint64{"fresh": fresh.entries(4), "whole": whole.entries(4)} {
		if diff := cmp.Diff([]uint64{2, 3, 4, 5}, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if diff := cmp.Diff([]uint64{3, 5}, only.entries(2)); diff != "" {
		t.Error(diff)
	}
}

// TestTailResumes breaks off in the middle, again and again, and misses nothing.
func TestTailResumes(t *testing.T) {
	h := start(t, schema.ModeOpen)
	h.append(strings.Repeat(minimal+"\n", 1000), withHeader("Content-Type", ndjson)) // more than a chunk
	var got []uint64
	last := ""
	for len(got) < 1000 {
		s := h.tail(t, h.url, "from=0", withHeader("Last-Event-ID", last))
		part := s.entries(min(333, 1000-len(got)))
		_ = s.res.Body.Close()
		got = append(got, part...)
		last = fmt.Sprint(got[len(got)-1])
	}
	for i, seq := range got {
		if seq != uint64(i) {
			t.Fatalf("entry %d is seq %d", i, seq)
		}
	}
}

// TestTailOfAQuietLog: the tail of a log whose entries are all past their time
// begins, and has what comes.
func TestTailOfAQuietLog(t *testing.T) {
	h := start(t, schema.ModeOpen)
	old := h.append("[" + minimal + "," + minimal + "," + minimal + "]")
	h.wind(2 * 365 * 24 * time.Hour)
	fresh := h.tail(t, h.url, "")
	fresh.next() // retry
	position := fmt.Sprintf(`{"seq":2,"received_at":"%s"}`, old.Entries[2].ReceivedAt)
	if m, _ := fresh.next(); m != (message{"position", "2", position}) {
		t.Errorf("at the end: %+v, want the position", m)
	}
	whole, between := h.tail(t, h.url, "from=0"), h.tail(t, h.url, "from=1")
	h.append(minimal)
	for name, got := range map[string][]uint64{"end": fresh.entries(1), "beginning": whole.entries(1), "middle": between.entries(1)} {
		if diff := cmp.Diff([]uint64{3}, got); diff != "" {
			t.Errorf("from the %s: %s", name, diff)
		}
	}
}

func TestTailRefuses(t *testing.T) {
	h := start(t, schema.ModeOpen)
	h.append(minimal)
	for _, from := range []string{"-1", "x", "2", "99999999999999999999"} {
		if got := h.get(events+"/tail?from="+from).fails(400, "invalid_request"); got.Field != "from" {
			t.Errorf("from=%s: %+v", from, got)
		}
	}
	for _, id := range []string{"1", "x", "-1"} {
		if got := h.get(events+"/tail", withHeader("Last-Event-ID", id)).fails(400, "invalid_request"); got.Field != "Last-Event-ID" {
			t.Errorf("Last-Event-ID %s: %+v", id, got)
		}
	}
	for _, query := range []string{"from=1", "from=0"} {
		h.tail(t, h.url, query)
	}
}

// TestTailBeats waits for signs of life: a comment, and the position when
// entries went by that the filters do not admit.
func TestTailBeats(t *testing.T) {
	h := start(t, schema.ModeOpen, func(d *Deps) { d.tailBeat = time.Millisecond })
	s := h.tail(t, h.url, "q=action:none")
	s.next() // retry
	if m, _ := s.next(); m.data != "still here" {
		t.Errorf("first %+v", m)
	}
	h.append("[" + minimal + "," + minimal + "]")
	for {
		m, ok := s.next()
		if !ok {
			t.Fatal("the stream ended")
		}
		if m.event == "position" && m.id == "1" {
			break
		}
		if m.data != "still here" && m.event != "position" {
			t.Fatalf("got %+v", m)
		}
	}
	for range 5 { // and not again, while nothing is new
		if m, _ := s.next(); m.data != "still here" {
			t.Errorf("then %+v", m)
		}
	}
}

// TestTailIsBounded looks at what is collected before it is sent.
func TestTailIsBounded(t *testing.T) {
	h := start(t, schema.ModeOpen)
	h.append(strings.Repeat(minimal+"\n", 2000), withHeader("Content-Type", ndjson))
	s := &tail{api: &api{Deps: Deps{Engine: h.store}}, org: "acme"}
	for rounds := 1; s.next < 2000; rounds++ {
		s.buf = s.buf[:0]
		if err := s.collect(t.Context(), 2000); err != nil {
			t.Fatal(err)
		}
		if len(s.buf) > tailChunk+audit.MaxEventBytes || rounds > 20 {
			t.Fatalf("%d bytes are collected in round %d, up to entry %d", len(s.buf), rounds, s.next)
		}
	}
}

// TestTailEndsWithItsKey revokes the key of one tail and deletes the
// organization of another.
func TestTailEndsWithItsKey(t *testing.T) {
	h := start(t, schema.ModeOpen, func(d *Deps) { d.tailBeat = time.Millisecond })
	secret := h.key(auth.RoleReader, "")
	mine, other := h.tail(t, h.url, "", withKey(secret)), h.tail(t, h.url, "")
	identity, err := h.auth.Authenticate(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	h.call(http.MethodDelete, "/v1/keys/"+identity.KeyID, "").want(200)
	for ok := true; ok; _, ok = mine.next() {
	}
	if m, ok := other.next(); !ok {
		t.Errorf("the other ended too: %+v", m)
	}
	h.call(http.MethodDelete, "/v1/organizations/acme", "").want(204)
	for ok := true; ok; _, ok = other.next() {
	}
}

// keepBusy records events one after the other until the test ends.
func (h *host) keepBusy(t *testing.T) {
	t.Helper()
	var ev event.Event
	if err := event.NewDecoder().Decode([]byte(minimal), &ev); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for b := ledger.NewBatch("acme"); ctx.Err() == nil; b.Reset("acme") {
			if err := b.Add(&ev); err != nil {
				t.Error(err)
			}
			if _, err := h.ledger.Append(ctx, b); err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
		}
	}()
	t.Cleanup(func() { stop(); <-done })
}

// TestTailOfABusyLog follows a log to which something is added all the time: the
// beat comes all the same, and with it the position and the end of a key.
func TestTailOfABusyLog(t *testing.T) {
	h := start(t, schema.ModeOpen, func(d *Deps) { d.tailBeat = 500 * time.Millisecond })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	limit := func(r *http.Request) { *r = *r.WithContext(ctx) }
	secret := h.key(auth.RoleReader, "")
	whole := h.tail(t, h.url, "", withKey(secret), limit)
	none := h.tail(t, h.url, "q=action:none", limit)
	h.keepBusy(t)
	for m, ok := none.next(); m.event != "position"; m, ok = none.next() {
		if !ok {
			t.Fatal("a filter that admits nothing gets no position")
		}
	}
	whole.entries(1)
	identity, err := h.auth.Authenticate(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	h.call(http.MethodDelete, "/v1/keys/"+identity.KeyID, "").want(200)
	for ok := true; ok; _, ok = whole.next() {
	}
	if ctx.Err() != nil {
		t.Error("a revoked key goes on reading")
	}
}

// TestTailEndsOnShutdown stops a server that serves a tail.
func TestTailEndsOnShutdown(t *testing.T) {
	h := start(t, schema.ModeOpen)
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.server.Run(ctx, ln) }()
	s := h.tail(t, "http://"+ln.Addr().String(), "from=0")
	s.next()
	stop()
	for ok := true; ok; _, ok = s.next() {
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestSlowTailHoldsNothing opens tails that nobody reads, and goes on.
func TestSlowTailHoldsNothing(t *testing.T) {
	h := start(t, schema.ModeOpen)
	big := eventWith(`"metadata":{"a":"` + strings.Repeat("x", 16_000) + `"}`)
	var batch strings.Builder
	for range 500 {
		batch.WriteString(big + "\n")
	}
	h.append(batch.String(), withHeader("Content-Type", ndjson))
	for range 5 {
		h.tail(t, h.url, "from=0")
	}
	h.append(minimal)
	if got := h.search("limit=1").Entries[0]; got.Seq != 500 {
		t.Errorf("got %d", got.Seq)
	}
}
