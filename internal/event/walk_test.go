package event

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/internal/event/eventtest"
)

// Walking a canonical object gives what encoding/json reads.
func TestWalk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ev, err := FromAudit(eventtest.Events().Draw(t, "event"))
		if err != nil {
			t.Fatalf("%v", err)
		}
		if ev.Metadata == nil {
			EachMember(nil, func(key, _ []byte) bool { t.Fatalf("member %s of nothing", key); return false })
			return
		}
		var want map[string]any
		if err := json.Unmarshal(ev.Metadata, &want); err != nil {
			t.Fatalf("%v", err)
		}
		if diff := cmp.Diff(want, objectOf(ev.Metadata)); diff != "" {
			t.Fatalf("%s: %s", ev.Metadata, diff)
		}
		for name, v := range want {
			got, ok := Lookup(ev.Metadata, name)
			if !ok || !cmp.Equal(valueOf(got), v) {
				t.Fatalf("%q of %s is %s", name, ev.Metadata, got)
			}
		}
		if v, ok := Lookup(ev.Metadata, "no such key"); ok {
			t.Fatalf("found %s", v)
		}
	})
}

func TestWalkStops(t *testing.T) {
	n := 0
	EachMember([]byte(`{"a":1,"b":[1,2],"c":3}`), func(_, _ []byte) bool { n++; return n < 2 })
	EachElement([]byte(`[1,2,3]`), func([]byte) bool { n++; return n < 4 })
	if n != 4 {
		t.Errorf("%d calls, want 2 and 2", n)
	}
}

// On what is not canonical JSON walking stops: it does not panic, does not go
// on for ever and calls nothing with parts outside.
func FuzzWalk(f *testing.F) {
	for _, s := range []string{`{"a":1,"b":[1,{}],"c":"\\\""}`, `[1,"x",[],{}]`, `{"a"`, `{"a":`, `{"a":}`, `[,]`, `{"\u00`, `[`, `{"a":1`, `"\`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		calls := 0
		walk := func(v []byte) bool {
			if calls++; calls > 2*len(b)*len(b)+2 {
				t.Fatal("too many calls")
			}
			Text(v, nil)
			_ = KindOf(v).String()
			return true
		}
		EachMember(b, func(k, v []byte) bool { Unescape(k, nil); TextEqual(k, "x"); return walk(v) })
		EachElement(b, walk)
		objectOf(b)
		valueOf(b)
	})
}

func TestUnescape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(eventtest.Text(), rapid.StringOf(rapid.RuneFrom([]rune("\x01\x1f\b\f\n\r\t\"\\/aé😀")))).Draw(t, "text")
		quoted := appendString(nil, []byte(s))
		var want string
		if err := json.Unmarshal(quoted, &want); err != nil || want != s {
			t.Fatalf("%q is written as %s", s, quoted)
		}
		inner := quoted[1 : len(quoted)-1]
		if got := Text(quoted, nil); string(got) != s {
			t.Fatalf("%s is read as %q", quoted, got)
		}
		if !TextEqual(inner, s) || TextEqual(inner, s+"x") {
			t.Fatalf("%s and %q", inner, s)
		}
		if got := Unescape(inner, make([]byte, 3)); string(got) != s {
			t.Fatalf("%s with scratch is read as %q", inner, got)
		}
	})
	long := strings.Repeat("\n", 100)
	if !TextEqual([]byte(strings.Repeat(`\n`, 100)), long) {
		t.Error("a text longer than the stack's buffer")
	}
}

func TestKindOf(t *testing.T) {
	for text, want := range map[string]Kind{
		"": KindInvalid, " ": KindInvalid, "x": KindInvalid, "\ufeff{}": KindInvalid, "null": KindNull, "true": KindBool,
		"false": KindBool, "-1": KindNumber, "0": KindNumber, `""`: KindString, "[]": KindArray, " \r\n\t{}": KindObject,
	} {
		if got := KindOf([]byte(text)); got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
}
