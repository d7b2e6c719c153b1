package catalog

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

type sample struct {
	Name string         `json:"name"`
	At   time.Time      `json:"at,omitzero"`
	More map[string]int `json:"more,omitempty"`
}

func TestRecordRoundTrip(t *testing.T) {
	want := sample{Name: "a\"b🪨", At: start, More: map[string]int{"y": 1, "x": 2}}
	data, err := Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	const text = `{"v":1,"name":"a\"b🪨","at":"2026-03-01T09:30:00.123456789Z","more":{"x":2,"y":1}}`
	if diff := cmp.Diff(text, string(data)); diff != "" {
		t.Error(diff)
	}
	got, err := Decode[sample](data)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestRecordIsRefused(t *testing.T) {
	for text, reason := range map[string]string{
		`{"v":2,"name":"x"}`:            "version 2",
		`{"name":"x"}`:                  "version 0",
		`{"v":1,"name":"x","new":true}`: "new",
		`{"v":1,"name":3}`:              "name",
		`{"v":1,"name":"x"}{}`:          "decode record",
		`{"v":1,"v":1}`:                 "duplicate",
		`{"v":2,"future":[1]}`:          "version 2",
		``:                              "decode record",
	} {
		if _, err := Decode[sample]([]byte(text)); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: error %v, want one about %q", text, err, reason)
		}
	}
}

func TestLoadSave(t *testing.T) {
	kv := newMemKV()
	if _, err := Load[sample](t.Context(), kv, "x/1"); !errors.Is(err, ErrNotFound) {
		t.Fatalf("error %v", err)
	}
	if err := Save(t.Context(), kv, "x/1", sample{Name: "a"}, 0); err != nil {
		t.Fatal(err)
	}
	s, err := Load[sample](t.Context(), kv, "x/1")
	if err != nil || s.Value.Name != "a" || s.Rev != 1 || s.Key != "x/1" {
		t.Fatalf("%+v, %v", s, err)
	}
	if err := Save(t.Context(), kv, "x/1", sample{}, 0); !errors.Is(err, ErrConflict) {
		t.Errorf("error %v", err)
	}
	kv.records["x/2"] = Record{Key: "x/2", Value: []byte("{}"), Rev: 1}
	var names []string
	var last error
	for s, err := range All[sample](t.Context(), kv, "x/", "") {
		names = append(names, s.Value.Name)
		last = err
	}
	if len(names) != 2 || names[0] != "a" || last == nil || !strings.Contains(last.Error(), "x/2") {
		t.Errorf("%q, %v", names, last)
	}
}

func TestSecret(t *testing.T) {
	c, kv := newCatalog()
	var wg sync.WaitGroup
	got := make([][32]byte, 8)
	for i := range got {
		wg.Go(func() {
			var err error
			if got[i], err = c.Secret(t.Context(), "url"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	again, err := New(kv, clock()).Secret(t.Context(), "url")
	for _, s := range got {
		if s != again || s == [32]byte{} || err != nil {
			t.Fatalf("secrets %x and %x, %v", s, again, err)
		}
	}
	if other, err := c.Secret(t.Context(), "other"); other == again || err != nil {
		t.Errorf("two names have one secret, %v", err)
	}
}

func TestULID(t *testing.T) {
	ms := time.UnixMilli(1469918176385) // the ULID specification's example
	if got := NewULID(ms); len(got) != ulidLen || got[:10] != "01ARYZ6S41" {
		t.Errorf("%q", got)
	}
	if at, ok := ULIDTime(NewULID(ms)); !ok || !at.Equal(ms) {
		t.Errorf("its time is %s, %t", at, ok)
	}
	for _, no := range []string{"", "81ARYZ6S410000000000000000", "01ARYZ6S41000000000000000U", "01ARYZ6S4100000000000000000"} {
		if at, ok := ULIDTime(no); ok {
			t.Errorf("the time of %q is %s", no, at)
		}
	}
	if a, b := NewULID(ms), NewULID(ms); a == b {
		t.Errorf("two are %q", a)
	}
	u := ulid{hi: ^uint64(0), lo: ^uint64(0)}
	if got := u.String(); got != "7ZZZZZZZZZZZZZZZZZZZZZZZZZ" {
		t.Errorf("greatest is %q", got)
	}
}

func TestSequenceGrows(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var s sequence
		last := s.next(start)
		if rapid.Bool().Draw(rt, "carry") {
			s.last.lo = ^uint64(0) - 1
			last = s.last.String()
		}
		for _, step := range rapid.SliceOf(rapid.IntRange(-2, 2)).Draw(rt, "steps") {
			next := s.next(start.Add(time.Duration(step) * time.Millisecond))
			if next <= last {
				rt.Fatalf("%q after %q", next, last)
			}
			if invert(next) >= invert(last) {
				rt.Fatalf("inverted %q after %q", invert(next), invert(last))
			}
			last = next
		}
	})
}
