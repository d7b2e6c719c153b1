package export

import (
	"bytes"
	"testing"
)

// TestCellsEverywhere puts every byte at every place of a cell, before a quote
// and before none.
func TestCellsEverywhere(t *testing.T) {
	for _, filler := range []byte{'a', ' ', '!', 0x80, 0xac} {
		for _, last := range []byte{filler, '"'} {
			for length := 1; length <= 18; length++ {
				for at := range length {
					for c := range 256 {
						cell := bytes.Repeat([]byte{filler}, length)
						cell[length-1] = last
						cell[at] = byte(c)
						want := cell
						if bytes.ContainsAny(cell, ",\"\r\n") {
							want = append([]byte{'"'}, bytes.ReplaceAll(cell, []byte(`"`), []byte(`""`))...)
							want = append(want, '"')
						}
						if got := appendCell([]byte("x"), cell); string(got) != "x"+string(want) {
							t.Fatalf("%q: got %s, want %s", cell, got[1:], want)
						}
					}
				}
			}
		}
	}
}
