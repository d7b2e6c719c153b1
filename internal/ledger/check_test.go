package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/storetest"
)

// problems checks a log of the store and returns what is reported.
func problems(t testing.TB, s *faultyStore) []string {
	t.Helper()
	var got []string
	res, err := open(t, s).Check(t.Context(), "acme", func(p ledger.Problem) { got = append(got, p.What) })
	if err != nil {
		t.Fatal(err)
	}
	if res.Problems != len(got) {
		t.Errorf("%d problems counted, %d reported", res.Problems, len(got))
	}
	return got
}

func TestCheckOfASoundLog(t *testing.T) {
	for _, n := range []int{0, 1, 255, 256, 257, 700} {
		s := newStore()
		l := open(t, s)
		if n > 0 {
			record(t, l, "acme", 0, n)
		}
		res, err := l.Check(t.Context(), "acme", func(p ledger.Problem) { t.Errorf("%d entries: %s", n, p.What) })
		if err != nil || res.Entries != uint64(n) || res.Checkpoint != nil || res.Root != res.Head.Root() {
			t.Errorf("%d entries: %+v, %v", n, res, err)
		}
		cp, _ := checkpoint(t, l)
		if res, err = l.Check(t.Context(), "acme", func(ledger.Problem) {}); err != nil || n > 0 && (res.Checkpoint == nil || *res.Checkpoint != cp) {
			t.Errorf("%d entries: %+v, %v", n, res, err)
		}
	}
}

// Every damage is named, at its place, and once.
func TestCheckNamesTheDamage(t *testing.T) {
	const size = 66_000 // tile levels 0, 1 and 2
	sound := newStore()
	l := open(t, sound, at(&clock{ms: 1_772_000_000_000}))
	for n := 0; n < size; n += 11_000 {
		record(t, l, "acme", n, 11_000)
	}
	for _, c := range []struct {
		name   string
		damage func(*rawLog)
		want   []string
	}{
		{"flipped bit in a row", func(log *rawLog) {
			log.Rows[300] = slices.Clone(log.Rows[300])
			log.Rows[300][20] ^= 1
		}, []string{"entries 256..511: do not hash to what is stored for them, hash 1 of tile 1/0"}},
		{"two rows changed places", func(log *rawLog) {
			log.Rows[65_300], log.Rows[65_301] = log.Rows[65_301], log.Rows[65_300]
		}, []string{"entries 65280..65535: do not hash to what is stored for them, hash 255 of tile 1/0"}},
		{"flipped bit in the last tile", func(log *rawLog) {
			log.Rows[65_999] = slices.Clone(log.Rows[65_999])
			log.Rows[65_999][20] ^= 1
		}, []string{"entries 65984..65999: do not hash to what the head has for them"}},
		{
			"row that cannot be decoded", func(log *rawLog) { log.Rows[1000] = []byte("nonsense") },
			[]string{"entry 1000: cannot be read: "},
		},
		{"rows that cannot be decoded", func(log *rawLog) {
			for i := 1000; i < 3000; i++ {
				log.Rows[i] = []byte("nonsense")
			}
		}, []string{"entries 1000..2999: cannot be read: "}},
		{"missing row", func(log *rawLog) { log.Rows[70] = nil }, []string{"entry 70: cannot be read: "}},
		{
			"truncated log", func(log *rawLog) { log.Rows = log.Rows[:65_000] },
			[]string{"entries 65000..65999: cannot be read: the store has neither them nor what it keeps of removed entries: "},
		},
		{"wrong leaf hash", func(log *rawLog) { log.Nodes[storetest.NodeID{Level: 1, Index: 5}] = [32]byte{1} }, []string{
			"entries 0..65535: tile 1/0 over them does not hash to hash 0 of tile 2/0",
			"entries 1280..1535: do not hash to what is stored for them, hash 5 of tile 1/0",
		}},
		{"wrong upper hash", func(log *rawLog) { log.Nodes[storetest.NodeID{Level: 2, Index: 0}] = [32]byte{1} }, []string{
			"entries 0..65535: do not hash to what the head has for them",
			"entries 0..65535: tile 1/0 over them does not hash to hash 0 of tile 2/0",
		}},
		{
			"missing upper hash", func(log *rawLog) { delete(log.Nodes, storetest.NodeID{Level: 2, Index: 0}) },
			[]string{"entries 0..65535: tile 2/0 over them cannot be read: "},
		},
		{
			"missing hash of level 1", func(log *rawLog) { delete(log.Nodes, storetest.NodeID{Level: 1, Index: 256}) },
			[]string{"entries 65536..65791: tile 1/1 over them cannot be read: "},
		},
		{
			"wrong frontier", func(log *rawLog) { log.Head.Frontier[0] = [32]byte{1} },
			[]string{"entries 0..65535: do not hash to what the head has for them"},
		},
		{
			"short frontier", func(log *rawLog) { log.Head.Frontier = log.Head.Frontier[1:] },
			[]string{"the head has 66000 entries and a frontier of "},
		},
		{"time that goes back", func(log *rawLog) { log.ReceivedAt[10]++ }, []string{
			"entries 0..255: do not hash to what is stored for them, hash 0 of tile 1/0",
			"entry 11: has the id ",
			"entry 11: was received at ",
		}},
		{
			"time of the head", func(log *rawLog) { log.Head.ReceivedAt++ },
			[]string{"entry 65999: was received at 1772000000000 ms, but the head says 1772000000001"},
		},
		{"other keys", func(log *rawLog) { log.Keys[1] = event.Keys{} }, append(
			sixtyFourTiles(),
			"entry 16384: has the id ", // smaller than the one before, or larger: see below
		)},
		{
			"missing keys", func(log *rawLog) { delete(log.Keys, 2) },
			[]string{"entries 32768..49151: cannot be read: "},
		},
		{"two damages", func(log *rawLog) {
			log.Rows[5] = log.Rows[6]
			log.Rows[40_000] = []byte{}
		}, []string{
			"entries 0..255: do not hash to what is stored for them, hash 0 of tile 1/0",
			"entry 40000: cannot be read: ",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := sound.copy(t, "acme")
			s.Damage("acme", c.damage)
			got := problems(t, s)
			slices.Sort(got)
			slices.Sort(c.want)
			if c.name == "other keys" && len(got) == len(c.want)-1 {
				c.want = slices.DeleteFunc(c.want, func(w string) bool { return strings.HasPrefix(w, "entry") })
			}
			if len(got) != len(c.want) {
				t.Fatalf("got %d problems, want %d:\n%s", len(got), len(c.want), strings.Join(got[:min(len(got), 20)], "\n"))
			}
			for i := range got {
				if !strings.HasPrefix(got[i], c.want[i]) {
					t.Errorf("got %q, want %q", got[i], c.want[i])
				}
			}
		})
	}
}

// anyID is an entry's id, and what becomes one when its last letter is changed.
var anyID = regexp.MustCompile(`\b[0-9A-Z]{25}.`)

// sixtyFourTiles are the problems of a block whose every tile is wrong.
func sixtyFourTiles() []string {
	var out []string
	for i := 64; i < 128; i++ {
		out = append(out, fmt.Sprintf("entries %d..%d: do not hash to what is stored for them, hash %d of tile 1/0", i*256, i*256+255, i))
	}
	return out
}

// rangeError is what a store says of entries that share one damaged value.
type rangeError struct{ from, to uint64 }

func (e rangeError) Error() string              { return "bad checksum" }
func (e rangeError) Entries() (from, to uint64) { return e.from, e.to }

// oddStore reads in an odd way.
type oddStore struct {
	*faultyStore
	read func(from, to uint64) iter.Seq2[*event.Entry, error]
}

func (s oddStore) Read(_ context.Context, _ string, from, to uint64) iter.Seq2[*event.Entry, error] {
	return s.read(from, to)
}

// checkOdd checks a log of 600 entries through a store whose Read does with each
// entry what odd says: false ends the read.
func checkOdd(t *testing.T, odd func(e *event.Entry, yield func(*event.Entry, error) bool) bool) []string {
	t.Helper()
	s := newStoreOf(t, 600)
	o := oddStore{faultyStore: s}
	reads := 0
	o.read = func(from, to uint64) iter.Seq2[*event.Entry, error] {
		if reads++; reads > 700 {
			t.Fatal("the check reads again and again")
		}
		return func(yield func(*event.Entry, error) bool) {
			for e, err := range s.Read(t.Context(), "acme", from, to) {
				if err != nil {
					t.Fatal(err)
				}
				if !odd(e, yield) {
					return
				}
			}
		}
	}
	l, err := ledger.Open(t.Context(), ledger.Config{Store: o, KV: o, Signer: testKey})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	if _, err := l.Check(t.Context(), "acme", func(p ledger.Problem) { got = append(got, p.What) }); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestCheckOfOddStores(t *testing.T) {
	for _, c := range []struct {
		name string
		odd  func(e *event.Entry, yield func(*event.Entry, error) bool) bool
		want []string
	}{
		{"damage that names its range", func(e *event.Entry, yield func(*event.Entry, error) bool) bool {
			if e.Seq >= 250 && e.Seq < 290 {
				yield(nil, fmt.Errorf("read: %w", rangeError{250, 290}))
				return false
			}
			return yield(e, nil)
		}, []string{"entries 250..289: cannot be read: read: bad checksum"}},
		{"damage that names a range before", func(e *event.Entry, yield func(*event.Entry, error) bool) bool {
			if e.Seq >= 250 && e.Seq < 290 {
				yield(nil, rangeError{0, 10})
				return false
			}
			return yield(e, nil)
		}, []string{"entries 250..289: cannot be read: bad checksum"}},
		{"an entry twice", func(e *event.Entry, yield func(*event.Entry, error) bool) bool {
			return yield(e, nil) && (e.Seq != 77 || yield(e, nil))
		}, []string{"entry 77: was read out of order, before entry 78"}},
		{"a salt that is not its own", func(e *event.Entry, yield func(*event.Entry, error) bool) bool {
			if e.Seq == 300 {
				e.Salt[0] ^= 1
			}
			return yield(e, nil)
		}, []string{"entries 256..511: do not hash to what is stored for them, hash 1 of tile 1/0"}},
		{"erased, with details", func(e *event.Entry, yield func(*event.Entry, error) bool) bool {
			if e.Seq == 300 {
				before := e.Clone()
				e.Erase(1)
				e.Salt, e.Metadata = before.Salt, []byte(`{"a":1}`)
			}
			return yield(e, nil)
		}, []string{"entry 300: was erased, but has details or a salt"}},
		{"an id that is not its own", func(e *event.Entry, yield func(*event.Entry, error) bool) bool {
			if e.Seq == 300 { // its check bits only: it is still in order
				e.ID[25] ^= 1
			}
			return yield(e, nil)
		}, []string{
			"entry 300: has the id * instead of *",
			"entries 256..511: do not hash to what is stored for them, hash 1 of tile 1/0",
		}},
		{"a record that fits no bundle", func(e *event.Entry, yield func(*event.Entry, error) bool) bool {
			if e.Seq == 300 {
				e.Actor.ID = bytes.Repeat([]byte("x"), audit.MaxRecordBytes)
			}
			return yield(e, nil)
		}, []string{
			"entry 300: has a record of 65822 bytes, more than an entry bundle can carry",
			"entries 256..511: do not hash to what is stored for them, hash 1 of tile 1/0",
		}},
		{"nothing can be read", func(_ *event.Entry, yield func(*event.Entry, error) bool) bool {
			yield(nil, errDisk)
			return false
		}, []string{"entries 0..599: cannot be read: input/output error"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := checkOdd(t, c.odd)
			for i := range got {
				got[i] = anyID.ReplaceAllString(got[i], "*")
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCheckOfTheCheckpoint(t *testing.T) {
	signedAt := func(n int) *faultyStore {
		s := newStoreOf(t, n)
		checkpoint(t, open(t, s))
		return s
	}
	s := signedAt(600)
	rollBack(t, s, 500)
	want := []string{"entries 500..599: missing: the log has 500 entries but a checkpoint of 600 was signed"}
	if diff := cmp.Diff(want, problems(t, s)); diff != "" {
		t.Error(diff)
	}
	rollBack(t, s, 700)
	want = []string{"entries 0..599: do not hash to the root of the newest signed checkpoint, of 600 entries"}
	if diff := cmp.Diff(want, problems(t, s)); diff != "" {
		t.Error(diff)
	}
	s = signedAt(3)
	rec := s.record(t, "checkpoint/acme")
	rec.Value[len(rec.Value)-10] ^= 1
	s.put(t, "checkpoint/acme", rec.Value)
	if got := problems(t, s); len(got) != 1 || !strings.Contains(got[0], "not signed with the server's key") {
		t.Errorf("got %q", got)
	}
	s.put(t, "checkpoint/acme", []byte{9})
	if got := problems(t, s); len(got) != 1 || !strings.Contains(got[0], "format that this version does not know") {
		t.Errorf("got %q", got)
	}
}

func TestCheckWhileTheHeadCannotBeRead(t *testing.T) {
	s := newStoreOf(t, 3)
	s.onHead = func() error { return errDisk }
	if got := problems(t, s); len(got) != 1 || !strings.Contains(got[0], "the head cannot be read") {
		t.Errorf("got %q", got)
	}
}

func TestCheckIsCancelled(t *testing.T) {
	l := open(t, newStoreOf(t, 3000))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Check(ctx, "acme", func(ledger.Problem) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
