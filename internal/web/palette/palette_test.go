package palette

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

var (
	white = Color{255, 255, 255}
	black = Color{}
	light = Ground{Surfaces: []Color{white, {0xf3, 0xf4, 0xf6}}, Ink: black, Paper: white}
	dark  = Ground{Surfaces: []Color{{0x17, 0x18, 0x1b}, {0x20, 0x22, 0x26}}, Ink: white, Paper: Color{0x0b, 0x10, 0x20}}
)

// TestContrast holds known ratios.
func TestContrast(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want float64
	}{
		{"#000000", "#ffffff", 21}, {"#fff", "#fff", 1}, {"#777777", "#ffffff", 4.48}, {"#767676", "#ffffff", 4.54}, {"#0000ff", "#ffffff", 8.59},
	} {
		a, errA := Parse(tt.a)
		b, errB := Parse(tt.b)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if got := Contrast(a, b); math.Abs(got-tt.want) > 0.01 || got != Contrast(b, a) {
			t.Errorf("%s on %s: %.2f, want %.2f", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestParse(t *testing.T) {
	for text, want := range map[string]string{"#2f5fd0": "#2f5fd0", "#ABC": "#aabbcc", "#FFFFFF": "#ffffff"} {
		if c, err := Parse(text); err != nil || c.String() != want {
			t.Errorf("%q is %v, %v", text, c, err)
		}
	}
	for _, text := range []string{"", "#", "2f5fd0", "#2f5fd", "#2f5fd00", "#gggggg", "red", "rgb(1,2,3)", "#ééé", "#ab;"} {
		if c, err := Parse(text); err == nil {
			t.Errorf("%q is %v", text, c)
		}
	}
}

// TestAccentIsLegible tries any colour on both grounds.
func TestAccentIsLegible(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		chosen := Color{rapid.Byte().Draw(rt, "r"), rapid.Byte().Draw(rt, "g"), rapid.Byte().Draw(rt, "b")}
		for _, g := range []Ground{light, dark} {
			a := For(chosen, g)
			for _, on := range append([]Color{a.Soft, a.Text}, g.Surfaces...) {
				if got := Contrast(a.Color, on); got < MinContrast {
					rt.Fatalf("%v becomes %v, with %.2f on %v", chosen, a.Color, got, on)
				}
			}
		}
	})
}

// TestAccentStays holds that a colour which is legible already is not touched,
// and that one which is not keeps its hue.
func TestAccentStays(t *testing.T) {
	blue := Color{0x2f, 0x5f, 0xd0}
	if got := For(blue, light).Color; got != blue {
		t.Errorf("%v became %v", blue, got)
	}
	yellow := For(Color{0xff, 0xd4, 0x00}, light).Color
	if yellow.R <= yellow.G || yellow.B != 0 {
		t.Errorf("yellow became %v", yellow)
	}
}
