package event

import (
	"bytes"
	"crypto/aes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event/eventtest"
)

// Entry gives random entries.
func randomEntry() *rapid.Generator[*Entry] {
	return rapid.Custom(func(t *rapid.T) *Entry {
		ev, err := FromAudit(eventtest.Events().Draw(t, "event"))
		if err != nil {
			t.Fatalf("%v", err)
		}
		e := &Entry{
			Event:      *ev,
			Seq:        rapid.Uint64Range(0, maxSeq).Draw(t, "seq"),
			ReceivedAt: rapid.Int64Range(0, audit.MaxTime.UnixMilli()).Draw(t, "received_at"),
		}
		e.Unregistered = rapid.Bool().Draw(t, "unregistered")
		c := keysOf(t).Cipher()
		e.ID, e.Salt = c.ID(e.ReceivedAt, e.Seq), c.Salt(e.Seq)
		return e
	})
}

// canonicalOf is the canonical form of a value, made without this package.
func canonicalOf(t *rapid.T, v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("%v", err)
	}
	text := jsontext.Value(b)
	if err := text.Canonicalize(); err != nil {
		t.Fatalf("%v", err)
	}
	return text
}

// The record and the details are the canonical JSON of what the design says is
// in them.
func TestRecordAndDetailsSayWhatTheyMust(t *testing.T) {
	type identity struct {
		ID   string `json:"id"`
		Type string `json:"type"`
	}
	type party struct {
		Name     string         `json:"name,omitempty"`
		Metadata audit.Metadata `json:"metadata,omitempty"`
	}
	rapid.Check(t, func(t *rapid.T) {
		e := randomEntry().Draw(t, "entry")
		a := e.Audit("org_1")
		details := map[string]any{}
		if a.Actor.Name != "" || a.Actor.Metadata != nil {
			details["actor"] = party{a.Actor.Name, a.Actor.Metadata}
		}
		if a.Context != (audit.Context{}) {
			details["context"] = a.Context
		}
		if a.Metadata != nil {
			details["metadata"] = a.Metadata
		}
		targets, parties, some := []identity{}, []party{}, false
		for _, target := range a.Targets {
			targets = append(targets, identity{target.ID, target.Type})
			parties = append(parties, party{target.Name, target.Metadata})
			some = some || target.Name != "" || target.Metadata != nil
		}
		if some {
			details["targets"] = parties
		}
		gotDetails := AppendDetails(nil, &e.Event)
		if diff := cmp.Diff(string(canonicalOf(t, details)), string(gotDetails)); diff != "" {
			t.Fatalf("details: %s", diff)
		}
		digest := sha256.Sum256(append(e.Salt[:], gotDetails...))
		if DetailsDigest(&e.Salt, gotDetails) != digest {
			t.Fatalf("digest of %s", gotDetails)
		}
		record := map[string]any{
			"action": a.Action, "version": a.Version, "id": a.ID, "targets": targets,
			"occurred_at": string(AppendTime(nil, e.OccurredAt)),
			"received_at": a.ReceivedAt.Format("2006-01-02T15:04:05.000Z"),
			"actor":       identity{a.Actor.ID, a.Actor.Type},
			"details":     base64.RawURLEncoding.EncodeToString(digest[:]),
		}
		want := append([]byte("before"), canonicalOf(t, record)...)
		if diff := cmp.Diff(string(want), string(e.AppendRecord([]byte("before")))); diff != "" {
			t.Fatalf("record: %s", diff)
		}
	})
}

// The slots may be filled wherever the record was copied to.
func TestSlotsAreOffsetsInTheRecord(t *testing.T) {
	e := &Entry{Event: *decode(t, benchEvent), ReceivedAt: 1_772_000_000_123}
	copy(e.ID[:], "01KJ9F2N3V000000160Q7V5C1D")
	want := e.AppendRecord(nil)
	buf, slots := AppendRecord([]byte("something before"), &e.Event)
	record := bytes.Clone(buf[len("something before"):])
	digest := DetailsDigest(&e.Salt, AppendDetails(nil, &e.Event))
	slots.Fill(record, &digest, e.ID, e.ReceivedAt)
	if diff := cmp.Diff(string(want), string(record)); diff != "" {
		t.Error(diff)
	}
	slots.Fill(record, &[32]byte{1}, ID{}, 0)
	slots.Fill(record, &digest, e.ID, e.ReceivedAt)
	if diff := cmp.Diff(string(want), string(record)); diff != "" {
		t.Errorf("filled again: %s", diff)
	}
}

func TestDetailsDigestOfAnySize(t *testing.T) {
	salt := [16]byte{1, 2, 3}
	for _, n := range []int{0, 1, 1007, 1008, 1009, 70_000} {
		details := bytes.Repeat([]byte{'x'}, n)
		if DetailsDigest(&salt, details) != sha256.Sum256(append(salt[:], details...)) {
			t.Errorf("wrong for %d bytes", n)
		}
	}
}

func TestSalt(t *testing.T) {
	k := Keys{Salt: [16]byte{1, 2, 3}, Check: [16]byte{4, 5, 6}}
	block, err := aes.NewCipher(k.Salt[:])
	if err != nil {
		t.Fatal(err)
	}
	var want [16]byte
	block.Encrypt(want[:], []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5})
	if got := k.Cipher().Salt(0x0102030405); got != want {
		t.Errorf("salt is %x, want %x", got, want)
	}
}

// What the API answers reads back as the entry that package audit has.
func TestEntryJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := randomEntry().Draw(t, "entry")
		org := rapid.SampledFrom([]string{"org_1", `a"b`}).Draw(t, "org")
		text := e.AppendJSON(nil, org)
		d := jsontext.Value(text)
		if !d.IsValid() {
			t.Fatalf("not valid JSON: %s", text)
		}
		var got audit.Entry
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if diff := cmp.Diff(e.Audit(org), got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%s\n%s", diff, text)
		}
	})
}

// TestErase: what can be erased is gone, the record is the one it was, and the
// JSON says so in the way that package audit writes.
func TestErase(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := randomEntry().Draw(t, "entry").Clone()
		before, record := e.Audit("org_1"), string(e.AppendRecord(nil))
		at := rapid.Int64Range(1, audit.MaxTime.UnixMilli()).Draw(t, "at")
		e.Erase(at)
		e.Erase(at + 1)
		if got := string(e.AppendRecord(nil)); got != record {
			t.Fatalf("the record was %s, is %s", record, got)
		}
		if details := string(AppendDetails(nil, &e.Event)); details != "{}" || e.Salt != [16]byte{} || e.ErasedAt != at {
			t.Fatalf("details %s, salt %x, erased at %d", details, e.Salt, e.ErasedAt)
		}
		got := e.Audit("org_1")
		text := e.AppendJSON(nil, "org_1")
		if written, err := got.MarshalJSON(); err != nil || !bytes.Equal(written, text) {
			t.Fatalf("audit writes %s, %v; this %s", written, err, text)
		}
		var read audit.Entry
		if err := json.Unmarshal(text, &read); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, read, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
		if !got.ErasedAt.Equal(time.UnixMilli(at)) || got.Actor.ID != before.Actor.ID || len(got.Targets) != len(before.Targets) || got.Schema != before.Schema {
			t.Fatalf("erased %+v of %+v", got, before)
		}
		if c := e.Clone(); c.Digest != e.Digest || c.ErasedAt != at {
			t.Fatal("a copy is not erased")
		}
	})
}

func TestEntryJSONOrder(t *testing.T) {
	e := &Entry{Event: *decode(t, benchEvent), Seq: 7, ReceivedAt: 1_772_357_400_456}
	copy(e.ID[:], "01KJ9F2N3V000000160Q7V5C1D")
	e.Unregistered = true
	want := `{"id":"01KJ9F2N3V000000160Q7V5C1D","organization_id":"org_1","seq":7,"action":"api_key.created","version":1,` +
		`"occurred_at":"2026-03-01T09:30:00.123Z","received_at":"2026-03-01T09:30:00.456Z",` +
		benchEvent[bytes.Index([]byte(benchEvent), []byte(`"actor"`)):len(benchEvent)-1] + `,"schema":"unregistered"}`
	if diff := cmp.Diff(want, string(e.AppendJSON(nil, "org_1"))); diff != "" {
		t.Error(diff)
	}
	e.Erase(1_772_357_400_789)
	if got := string(e.AppendJSON(nil, "org_1")); !strings.HasSuffix(got, `]`+`,"erased_at":"2026-03-01T09:30:00.789Z","schema":"unregistered"}`) {
		t.Error(got)
	}
	bare := &Entry{Event: *decode(t, minimal), ID: e.ID}
	want = `{"id":"01KJ9F2N3V000000160Q7V5C1D","organization_id":"o","seq":0,"action":"a.b","version":1,` +
		`"occurred_at":"2026-03-01T09:30:00.000Z","received_at":"1970-01-01T00:00:00.000Z",` +
		`"actor":{"type":"user","id":"u1"},"targets":[]}`
	if diff := cmp.Diff(want, string(bare.AppendJSON(nil, "o"))); diff != "" {
		t.Error(diff)
	}
}

func TestClone(t *testing.T) {
	row := AppendRow(nil, decode(t, benchEvent))
	e := &Entry{Seq: 3, ReceivedAt: 4, Salt: [16]byte{5}}
	if err := DecodeRow(row, &e.Event); err != nil {
		t.Fatal(err)
	}
	c := e.Clone()
	want := string(e.AppendJSON(nil, "o"))
	clear(row)
	clear(e.Targets)
	if got := string(c.AppendJSON(nil, "o")); got != want || c.Salt != e.Salt {
		t.Errorf("the copy changed with the original: %s", got)
	}
	c.eachText(func(b *[]byte) { _ = append(*b, "overwritten"...) })
	if got := string(c.AppendJSON(nil, "o")); got != want {
		t.Errorf("one field of the copy runs into the next: %s", got)
	}
	if e.OccurredTime() != time.Date(2026, 3, 1, 9, 30, 0, 123e6, time.UTC) || e.ReceivedTime() != time.UnixMilli(4).UTC() {
		t.Error("times", e.OccurredTime(), e.ReceivedTime())
	}
}

func TestCompareUTF16(t *testing.T) {
	text := rapid.OneOf(eventtest.Text(), rapid.StringOf(rapid.RuneFrom([]rune{
		'a', 'b', 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xe001, 0xffff, 0x10000, 0x10001, 0x10ffff,
	})))
	rapid.Check(t, func(t *rapid.T) {
		a, b := text.Draw(t, "a"), text.Draw(t, "b")
		want := compareUnits(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
		if got := compareUTF16([]byte(a), []byte(b)); sign(got) != want {
			t.Fatalf("%q and %q compare as %d, want %d", a, b, got, want)
		}
	})
}

func compareUnits(a, b []uint16) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return sign(int(a[i]) - int(b[i]))
		}
	}
	return sign(len(a) - len(b))
}

func sign(n int) int { return min(1, max(-1, n)) }

func TestFromAuditRefuses(t *testing.T) {
	good := func() *audit.Event {
		return &audit.Event{
			Action: "a", OccurredAt: time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC), Actor: audit.Actor{Type: "user", ID: "u"},
		}
	}
	if ev, err := FromAudit(good()); err != nil || ev.Version != 1 {
		t.Fatalf("%+v, %v", ev, err)
	}
	for name, spoil := range map[string]func(e *audit.Event){
		"UTF-8":            func(e *audit.Event) { e.Action = "\xff" },
		"no time":          func(e *audit.Event) { e.OccurredAt = time.Time{} },
		"year 10000":       func(e *audit.Event) { e.OccurredAt = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"negative version": func(e *audit.Event) { e.Version = -1 },
		"no actor":         func(e *audit.Event) { e.Actor = audit.Actor{} },
		"channel":          func(e *audit.Event) { e.Metadata = audit.Metadata{"c": make(chan int)} },
		"large integer":    func(e *audit.Event) { e.Metadata = audit.Metadata{"n": int64(1<<53 + 1)} },
	} {
		e := good()
		spoil(e)
		if ev, err := FromAudit(e); err == nil {
			t.Errorf("%s: accepted as %+v", name, ev)
		}
	}
}
