package event

import (
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const (
	maxSeq = 1<<40 - 1
	maxMS  = 1<<48 - 1
)

func keysOf(t *rapid.T) Keys {
	var k Keys
	for i, b := range rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "keys") {
		if i < 16 {
			k.Salt[i] = b
		} else {
			k.Check[i-16] = b
		}
	}
	return k
}

func TestIDOrderAndParse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := keysOf(t).Cipher()
		ms := rapid.Int64Range(0, maxMS-1)
		seq := rapid.Uint64Range(0, maxSeq-1)
		m1, s1 := ms.Draw(t, "ms"), seq.Draw(t, "seq")
		m2, s2 := m1, s1+1
		if rapid.Bool().Draw(t, "later") {
			m2, s2 = rapid.Int64Range(m1+1, maxMS).Draw(t, "ms2"), rapid.Uint64Range(0, maxSeq).Draw(t, "seq2")
		}
		a, b := c.ID(m1, s1), c.ID(m2, s2)
		if a.String() >= b.String() {
			t.Fatalf("%s of (%d, %d) is not before %s of (%d, %d)", a, m1, s1, b, m2, s2)
		}
		gotMS, gotSeq, ok := ParseID(b.String())
		if !ok || gotMS != m2 || gotSeq != s2 || !c.Verify(b.String()) {
			t.Fatalf("%s parses as (%d, %d, %v), want (%d, %d); verified: %v", b, gotMS, gotSeq, ok, m2, s2, c.Verify(b.String()))
		}
	})
}

// An id is the base 32 text of the number that its three parts make.
func TestIDIsULID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := keysOf(t).Cipher()
		ms, seq := rapid.Int64Range(0, maxMS).Draw(t, "ms"), rapid.Uint64Range(0, maxSeq).Draw(t, "seq")
		id := c.ID(ms, seq).String()
		n := new(big.Int)
		for _, ch := range id {
			n.Lsh(n, 5)
			n.Or(n, big.NewInt(int64(strings.IndexRune(crockford, ch))))
		}
		if n.BitLen() > 128 {
			t.Fatalf("%s stands for %d bits", id, n.BitLen())
		}
		high := new(big.Int).Rsh(n, 40)
		want := new(big.Int).Or(new(big.Int).Lsh(big.NewInt(ms), 40), new(big.Int).SetUint64(seq))
		if high.Cmp(want) != 0 {
			t.Fatalf("%s has %x before its check bits, want %x", id, high, want)
		}
	})
}

// A wrong character anywhere is either no id or one that does not verify.
func TestIDVerifyFindsChanges(t *testing.T) {
	c := Keys{Check: [16]byte{1, 2, 3}}.Cipher()
	id := c.ID(1_772_000_000_123, 4711)
	for i := range id {
		for ch := range 256 {
			changed := id
			changed[i] = byte(ch)
			if changed != id && c.Verify(changed.String()) {
				t.Errorf("%q verifies as well as %s", changed.String(), id)
			}
		}
	}
	if other := (Keys{Check: [16]byte{1, 2, 4}}).Cipher(); other.Verify(id.String()) {
		t.Error("verifies under another key")
	}
}

func TestParseIDRefuses(t *testing.T) {
	const good = "01KJ0000000000000000000000"
	if _, _, ok := ParseID(good); !ok {
		t.Fatalf("refused %s", good)
	}
	for _, bad := range []string{
		"", good[1:], good + "0", "8" + good[1:], "Z" + good[1:], strings.ToLower(good),
		good[:25] + "I", good[:25] + "L", good[:25] + "O", good[:25] + "U", good[:25] + "-",
		good[:25] + " ", good[:24] + "é", good[:25] + "\x00", good[:25] + "[", good[:25] + "@",
	} {
		if _, _, ok := ParseID(bad); ok {
			t.Errorf("accepted %q", bad)
		}
	}
}

func TestNewKeysDiffer(t *testing.T) {
	a, err := NewKeys()
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewKeys()
	if err != nil {
		t.Fatal(err)
	}
	if a.Salt == a.Check || a.Salt == b.Salt || a.Check == b.Check {
		t.Error("two random keys are the same")
	}
}
