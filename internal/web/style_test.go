package web

import (
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stelehq/stele/internal/web/palette"
)

// tokens are the custom properties of a stylesheet: in light, and in dark, where
// those that are not said are the light ones.
func tokens(t *testing.T, style string) (light, dark map[string]palette.Color) {
	t.Helper()
	light, dark = map[string]palette.Color{}, map[string]palette.Color{}
	token := regexp.MustCompile(`--([a-z-]+):\s*(#[0-9a-f]{3,6})\b`)
	rule := regexp.MustCompile(`(@media \(prefers-color-scheme: dark\)\s*\{\s*)?:root\s*\{([^}]*)\}`)
	for _, r := range rule.FindAllStringSubmatch(style, -1) {
		for _, m := range token.FindAllStringSubmatch(r[2], -1) {
			c, err := palette.Parse(m[2])
			if err != nil {
				t.Fatal(err)
			}
			dark[m[1]] = c
			if r[1] == "" {
				light[m[1]] = c
			}
		}
	}
	if len(light) < 15 || len(dark) != len(light) {
		t.Fatalf("found %d tokens for light and %d for dark", len(light), len(dark))
	}
	return light, dark
}

func baseStyle(t *testing.T) string {
	t.Helper()
	data, err := fs.ReadFile(files, "static/css/10-base.css")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// pairs are what is written in what, and the contrast that this asks for.
func pairs() map[[2]string]float64 {
	out := map[[2]string]float64{}
	surfaces := []string{"bg", "surface", "raised", "sunken", "hover"}
	for _, text := range []string{"text", "muted", "accent", "danger", "warn", "ok"} {
		for _, on := range surfaces {
			out[[2]string{text, on}] = palette.MinContrast
		}
	}
	for _, kind := range []string{"accent", "danger", "warn", "ok"} {
		out[[2]string{kind, kind + "-soft"}] = palette.MinContrast
		out[[2]string{"text", kind + "-soft"}] = palette.MinContrast
	}
	out[[2]string{"accent-text", "accent"}] = palette.MinContrast
	for _, on := range surfaces {
		out[[2]string{"line-strong", on}] = 3 // the edge of what can be used
	}
	return out
}

func legible(light, dark map[string]palette.Color) error {
	for pair, want := range pairs() {
		for scheme, in := range map[string]map[string]palette.Color{"light": light, "dark": dark} {
			if got := palette.Contrast(in[pair[0]], in[pair[1]]); got < want {
				return fmt.Errorf("%s: %s on %s has %.2f, less than %.1f", scheme, pair[0], pair[1], got, want)
			}
		}
	}
	return nil
}

// TestTokensAreLegible holds the pages' own colours to WCAG.
func TestTokensAreLegible(t *testing.T) {
	light, dark := tokens(t, baseStyle(t))
	if err := legible(light, dark); err != nil {
		t.Error(err)
	}
}

// TestAccentIsLegible holds any accent to the same, on the surfaces as they are.
func TestAccentIsLegible(t *testing.T) {
	base := baseStyle(t)
	rapid.Check(t, func(rt *rapid.T) {
		chosen := palette.Color{R: rapid.Byte().Draw(rt, "r"), G: rapid.Byte().Draw(rt, "g"), B: rapid.Byte().Draw(rt, "b")}
		b := Brand{Accent: chosen.String()}
		if err := b.Validate(); err != nil {
			rt.Fatal(err)
		}
		light, dark := tokens(t, base+b.style())
		if err := legible(light, dark); err != nil {
			rt.Fatalf("%v: %v", chosen, err)
		}
	})
}

// TestTemplates holds what every page must keep to be allowed by its policy.
func TestTemplates(t *testing.T) {
	err := fs.WalkDir(files, "templates", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		for _, wrong := range []string{" style=", "<style", " onclick=", "javascript:", "http://", "<script>"} {
			if strings.Contains(string(data), wrong) {
				t.Errorf("%s has %q", name, wrong)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
