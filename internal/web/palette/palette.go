// Package palette makes a product's accent colour legible on the pages: whatever
// colour is chosen, what is written in it or on it has the contrast that WCAG 2.2
// asks for, 4.5 to 1, in light and in dark.
package palette

import (
	"encoding/hex"
	"fmt"
	"math"
	"strings"
)

// MinContrast is what WCAG 2.2 AA asks for text.
const MinContrast = 4.5

// Color is an sRGB colour.
type Color struct{ R, G, B uint8 }

// Parse reads #rrggbb or #rgb.
func Parse(text string) (Color, error) {
	digits, ok := strings.CutPrefix(text, "#")
	if len(digits) == 3 {
		digits = string([]byte{digits[0], digits[0], digits[1], digits[1], digits[2], digits[2]})
	}
	b, err := hex.DecodeString(digits)
	if !ok || err != nil || len(b) != 3 {
		return Color{}, fmt.Errorf("%q is not a colour such as #2f5fd0", text)
	}
	return Color{b[0], b[1], b[2]}, nil
}

// String writes #rrggbb.
func (c Color) String() string { return fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B) }

// luminance is WCAG's relative luminance, 0 for black to 1 for white.
func (c Color) luminance() float64 {
	return 0.2126*linear(c.R) + 0.7152*linear(c.G) + 0.0722*linear(c.B)
}

func linear(v uint8) float64 {
	s := float64(v) / 255
	if s <= 0.04045 {
		return s / 12.92
	}
	return math.Pow((s+0.055)/1.055, 2.4)
}

// Contrast is WCAG's contrast ratio of two colours, 1 to 21.
func Contrast(a, b Color) float64 {
	la, lb := a.luminance(), b.luminance()
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

// Mix is a with a part, 0 to 1, of b.
func Mix(a, b Color, part float64) Color {
	mix := func(x, y uint8) uint8 { return uint8(math.Round(float64(x) + (float64(y)-float64(x))*part)) }
	return Color{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B)}
}

// Ground is what an accent is seen on.
type Ground struct {
	// Surfaces are the backgrounds of pages and what is on them.
	Surfaces []Color
	// Ink is what the accent moves to until it is legible: black on light
	// surfaces, white on dark ones. Paper is the other.
	Ink, Paper Color
}

// softPart is how much of the accent is in its soft form, a background.
const softPart = 0.1

// Accent is a colour in the three forms that the pages use.
type Accent struct {
	// Color is legible on every surface, and on Soft.
	Color Color
	// Text is legible on Color.
	Text Color
	// Soft is a surface with a little of Color in it.
	Soft Color
}

// For makes the accent of a ground from the colour chosen: that itself if it is
// legible, else the nearest mix with the ground's ink that is. Its hue stays.
func For(chosen Color, g Ground) Accent {
	const steps = 256
	var a Accent
	for i := range steps + 1 {
		a = g.accent(Mix(chosen, g.Ink, float64(i)/steps))
		if g.legible(a) {
			break
		}
	}
	return a
}

func (g Ground) accent(c Color) Accent {
	return Accent{Color: c, Text: g.Paper, Soft: Mix(g.Surfaces[0], c, softPart)}
}

func (g Ground) legible(a Accent) bool {
	for _, surface := range append([]Color{a.Soft, a.Text}, g.Surfaces...) {
		if Contrast(a.Color, surface) < MinContrast {
			return false
		}
	}
	return true
}
