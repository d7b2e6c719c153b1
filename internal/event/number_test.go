package event

import (
	"encoding/json"
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"
)

// The examples of RFC 8785, appendix B, by the bits of the double.
func TestAppendNumberRFC8785(t *testing.T) {
	for bits, want := range map[uint64]string{
		0x0000000000000000: "0",
		0x8000000000000000: "0",
		0x0000000000000001: "5e-324",
		0x8000000000000001: "-5e-324",
		0x7fefffffffffffff: "1.7976931348623157e+308",
		0xffefffffffffffff: "-1.7976931348623157e+308",
		0x4340000000000000: "9007199254740992",
		0xc340000000000000: "-9007199254740992",
		0x4430000000000000: "295147905179352830000",
		0x44b52d02c7e14af5: "9.999999999999997e+22",
		0x44b52d02c7e14af6: "1e+23",
		0x44b52d02c7e14af7: "1.0000000000000001e+23",
		0x444b1ae4d6e2ef4e: "999999999999999700000",
		0x444b1ae4d6e2ef4f: "999999999999999900000",
		0x444b1ae4d6e2ef50: "1e+21",
		0x3eb0c6f7a0b5ed8c: "9.999999999999997e-7",
		0x3eb0c6f7a0b5ed8d: "0.000001",
		0x41b3de4355555553: "333333333.3333332",
		0x41b3de4355555554: "333333333.33333325",
		0x41b3de4355555555: "333333333.3333333",
		0x41b3de4355555556: "333333333.3333334",
		0x41b3de4355555557: "333333333.33333343",
		0xbecbf647612f3696: "-0.0000033333333333333333",
		0x43143ff3c1cb0959: "1424953923781206.2",
	} {
		text := strconv.FormatFloat(math.Float64frombits(bits), 'e', -1, 64)
		if got, ok := appendNumber(nil, []byte(text)); !ok || string(got) != want {
			t.Errorf("%s is written as %s (%v), want %s", text, got, ok, want)
		}
	}
}

func TestAppendNumberForms(t *testing.T) {
	for text, want := range map[string]string{
		"-0": "0", "0.0": "0", "-0.000e5": "0", "0e99999999999999999999": "0", "1.0": "1", "1e2": "100", "1E+2": "100",
		"1.50": "1.5", "100e-2": "1", "0.1": "0.1", "1e21": "1e+21", "1e20": "100000000000000000000",
		"123456789012345680000": "123456789012345680000", "-12.5e-1": "-1.25", "0.00001e1": "0.0001",
		"1" + strings.Repeat("0", 300): "1e+300", "0." + strings.Repeat("0", 300) + "1": "1e-301",
		"1.5" + strings.Repeat("0", 1000): "1.5", "4.9e-324": "", "9007199254740993": "", "1e400": "", "1e-400": "",
		"-1e309": "", "0.1000000000000000055511151231257827": "", "0.10000000000000001": "",
		"123456789012345678": "", "1e99999999999999999999": "", "1e-99999999999999999999": "",
		"18446744073709551615": "", "18446744073709552000": "18446744073709552000",
	} {
		got, ok := appendNumber([]byte("x"), []byte(text))
		if ok != (want != "") || string(got) != "x"+want {
			t.Errorf("%s is written as %s (%v), want %q", text, got[1:], ok, want)
		}
	}
}

// A number is written as jsontext canonicalizes it, and accepted exactly when
// that has the same value, by arithmetic without rounding.
func TestAppendNumberRandom(t *testing.T) {
	number := rapid.OneOf(
		rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][-+]?[0-9]{1,3})?`),
		rapid.Map(rapid.Float64(), func(f float64) string {
			if math.IsNaN(f) || math.IsInf(f, 0) {
				f = 1.5
			}
			b, _ := json.Marshal(f)
			return string(b)
		}),
	)
	rapid.Check(t, func(t *rapid.T) {
		text := number.Draw(t, "number")
		canonical := jsontext.Value(text)
		if err := canonical.Canonicalize(); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		given, _ := new(big.Rat).SetString(text)
		kept, _ := new(big.Rat).SetString(string(canonical))
		same := given.Cmp(kept) == 0
		got, ok := appendNumber(nil, []byte(text))
		if ok != same {
			t.Fatalf("%s: accepted is %v, but jsontext makes it %s", text, ok, canonical)
		}
		want := strings.TrimPrefix(string(canonical), "-")
		if want != "0" {
			want = string(canonical)
		}
		if ok && string(got) != want {
			t.Fatalf("%s is written as %s, want %s", text, got, want)
		}
	})
}
