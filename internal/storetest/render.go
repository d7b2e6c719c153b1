package storetest

import (
	"bytes"
	"context"
	"errors"
	"math"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/search"
)

func (s suite) testRender(t *testing.T) {
	store := s.open(t).Store
	rapid.Check(t, func(t *rapid.T) {
		l := s.randomLog(t, store)
		for range 3 {
			from := rapid.Uint64Range(0, l.Head.Size+1).Draw(t, "from")
			to := rapid.OneOf(rapid.Uint64Range(0, l.Head.Size+1), rapid.Just(uint64(math.MaxUint64))).Draw(t, "to")
			r := rendering{store, l, randomQuery(t, l), from, to}
			r.check(t, false)
			r.check(t, true)
			r.checkSurvey(t)
		}
	})
	bad := audit.Query{Filters: []audit.Filter{{Field: "nonsense", Values: []string{"x"}}}}
	_, err := collect(store.Render(t.Context(), s.org(), bad, 0, 1, false, new(renderer).render))
	if !errors.Is(err, &audit.Error{Code: audit.CodeInvalidQuery}) {
		t.Errorf("render an invalid query: %v", err)
	}
	if _, err := store.Survey(t.Context(), s.org(), bad, 0, 1); !errors.Is(err, &audit.Error{Code: audit.CodeInvalidQuery}) {
		t.Errorf("survey by an invalid query: %v", err)
	}
}

// renderer renders entries and notes what it is given.
type renderer struct {
	mu    sync.Mutex
	times map[uint64]int // by seq
	ended bool           // the sequence is over
	late  int            // calls after that
}

func (r *renderer) render(dst []byte, e *event.Entry) []byte {
	r.note(e.Seq)
	runtime.Gosched() // somebody else's turn, while the entry is in use
	return append(e.AppendJSON(dst, "org"), '\n')
}

func (r *renderer) note(seq uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.times == nil {
		r.times = map[uint64]int{}
	}
	r.times[seq]++
	if r.ended {
		r.late++
	}
}

// end says that the sequence is over.
func (r *renderer) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
}

// check fails for an entry that was rendered twice, or after the end.
func (r *renderer) check(t TB) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for seq, n := range r.times {
		if n > 1 {
			t.Fatalf("render was called %d times for entry %d", n, seq)
		}
	}
	if r.late > 0 {
		t.Fatalf("render was called %d times after the sequence had ended", r.late)
	}
}

// rendering is one range of a log and what is asked for in it.
type rendering struct {
	store    Store
	log      *Log
	query    audit.Query
	from, to uint64
}

// want are the entries to be rendered, in order.
func (r rendering) want(desc bool) []found {
	list := matching(r.log, r.query)
	list = slices.DeleteFunc(list, func(f found) bool { return f.entry.Seq < r.from || f.entry.Seq >= r.to })
	if desc {
		slices.Reverse(list)
	}
	return list
}

// check renders all of the range. Each chunk must be the next entries, as far as
// it says.
func (r rendering) check(t TB, desc bool) {
	t.Helper()
	want := r.want(desc)
	var calls renderer
	var passed uint64
	for chunk, err := range r.store.Render(t.Context(), r.log.Org, r.query, r.from, r.to, desc, calls.render) {
		if err != nil {
			t.Fatalf("render %q: %v", r.query, err)
		}
		if chunk.Entries > len(want) {
			t.Fatalf("render %q: a chunk of %d entries where %d are left", r.query, chunk.Entries, len(want))
		}
		var data []byte
		for _, f := range want[:chunk.Entries] {
			data = append(f.entry.AppendJSON(data, "org"), '\n')
		}
		if !bytes.Equal(data, chunk.Data) {
			t.Fatalf("render %q from %d to %d, desc %t: chunk is\n%s\nwant\n%s", r.query, r.from, r.to, desc, chunk.Data, data)
		}
		if chunk.Passed < passed || chunk.Passed > r.to-min(r.from, r.to) {
			t.Fatalf("render %q from %d to %d: passed %d after %d", r.query, r.from, r.to, chunk.Passed, passed)
		}
		passed = chunk.Passed
		r.checkPassed(t, want, chunk, desc)
		want = want[chunk.Entries:]
	}
	if len(want) > 0 {
		t.Fatalf("render %q from %d to %d, desc %t: %d entries are missing", r.query, r.from, r.to, desc, len(want))
	}
	calls.end()
	calls.check(t)
}

// checkPassed compares what a chunk holds with what it says that it passed.
func (r rendering) checkPassed(t TB, want []found, chunk search.Chunk, desc bool) {
	t.Helper()
	n := 0
	for _, f := range want {
		place := f.entry.Seq - r.from
		if desc {
			place = r.to - 1 - f.entry.Seq
		}
		if place < chunk.Passed {
			n++
		}
	}
	if n != chunk.Entries {
		t.Fatalf("render %q from %d to %d, desc %t: passed %d with %d entries, which is after %d",
			r.query, r.from, r.to, desc, chunk.Passed, chunk.Entries, n)
	}
}

func (r rendering) checkSurvey(t TB) {
	t.Helper()
	var want search.Survey
	for _, f := range r.want(false) {
		want.Entries++
		want.MaxTargets = max(want.MaxTargets, len(f.entry.Targets))
	}
	if got, err := r.store.Survey(t.Context(), r.log.Org, r.query, r.from, r.to); err != nil || got != want {
		t.Fatalf("survey of %q from %d to %d: got %+v, %v, want %+v", r.query, r.from, r.to, got, err, want)
	}
}

// manyRendered is how many entries make several chunks.
const manyRendered = 6000

// testRenderLarge renders more than one chunk, for several at once.
func (s suite) testRenderLarge(t *testing.T) {
	store, l := s.open(t).Store, NewLog(s.org())
	for i := range 3 {
		commit(t, store, l, int64(1000+i), MakeEvents("a", manyRendered/3))
	}
	all := rendering{store, l, audit.Query{}, 0, l.Head.Size}
	part := rendering{store, l, audit.Query{ReceivedFrom: time.UnixMilli(1001)}, 1700, manyRendered - 10}
	parallel(2, func(i int) {
		all.check(parallelTB{t}, i%2 == 1)
		part.check(parallelTB{t}, i%2 == 0)
		part.checkSurvey(parallelTB{t})
	})
}

// parallelTB is a test in a goroutine of its own, which Fatalf cannot end: it
// fails the test and ends the goroutine.
type parallelTB struct{ *testing.T }

func (p parallelTB) Fatalf(format string, args ...any) {
	p.Helper()
	p.Errorf(format, args...)
	runtime.Goexit()
}

// testRenderStops ends renderings early: by the consumer, by ctx between chunks,
// by ctx before and by ctx over the last chunk.
func (s suite) testRenderStops(t *testing.T) {
	store, l := s.open(t).Store, NewLog(s.org())
	commit(t, store, l, 1000, MakeEvents("a", manyRendered))
	small := NewLog(s.org())
	commit(t, store, small, 1000, MakeEvents("a", 3))
	for _, desc := range []bool{false, true} {
		checkBreak(t, store, l, desc)
		checkCancel(t, store, l, desc)
		checkCancel(t, store, small, desc)
		for _, to := range []uint64{0, 1, manyRendered} {
			var calls renderer
			ctx := canceled(t)
			if chunks, err := collect(store.Render(ctx, l.Org, audit.Query{}, 0, to, desc, calls.render)); !errors.Is(err, ctx.Err()) {
				t.Errorf("render up to %d for a canceled ctx: %d chunks and %v", to, chunks, err)
			}
			calls.end()
			calls.check(t)
		}
	}
	for _, to := range []uint64{0, 1, manyRendered} {
		if _, err := store.Survey(canceled(t), l.Org, audit.Query{}, 0, to); !errors.Is(err, context.Canceled) {
			t.Errorf("survey up to %d for a canceled ctx: %v", to, err)
		}
	}
}

// collect counts the chunks of a rendering up to its end.
func collect(chunks func(func(search.Chunk, error) bool)) (n int, err error) {
	for chunk, failed := range chunks {
		if failed != nil {
			if chunk.Entries > 0 || len(chunk.Data) > 0 || err != nil {
				return n, errors.New("an error is not alone or not the last")
			}
			err = failed
			continue
		}
		n++
	}
	return n, err
}

// checkBreak leaves a rendering at its first chunk. Goroutines that it started
// carry its label, and must be gone.
func checkBreak(t *testing.T, store Store, l *Log, desc bool) {
	t.Helper()
	var calls renderer
	labels := pprof.Labels("rendering", l.Org)
	pprof.Do(t.Context(), labels, func(ctx context.Context) {
		for _, err := range store.Render(ctx, l.Org, audit.Query{}, 0, l.Head.Size, desc, calls.render) {
			if err != nil {
				t.Error(err)
			}
			break
		}
	})
	calls.end()
	// One may be on its last steps still.
	patience, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for ; labelled(t, l.Org) > 0; runtime.Gosched() {
		if patience.Err() != nil {
			t.Fatal("goroutines of a rendering that was left go on")
		}
	}
	calls.check(t)
}

// labelled counts the goroutines with a label of checkBreak.
func labelled(t *testing.T, org string) int {
	t.Helper()
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		t.Fatal(err)
	}
	return strings.Count(profile.String(), `"rendering":"`+org+`"`)
}

// checkCancel ends ctx at the first chunk.
func checkCancel(t *testing.T, store Store, l *Log, desc bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var calls renderer
	chunks, err := collect(func(yield func(search.Chunk, error) bool) {
		for chunk, err := range store.Render(ctx, l.Org, audit.Query{}, 0, l.Head.Size, desc, calls.render) {
			cancel()
			if !yield(chunk, err) {
				return
			}
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("render of %d entries with a ctx that ends at the first chunk: %d chunks and %v", l.Head.Size, chunks, err)
	}
	calls.end()
	calls.check(t)
}
