package web

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/stelehq/stele/internal/web/palette"
)

// Brand is what makes the pages look like a part of the product. The zero Brand
// is Stele's own look, in no frame.
type Brand struct {
	// ProductName is the product's; "" shows none.
	ProductName string
	// Logo is shown before the name; nil shows none.
	Logo *Logo
	// Accent is the colour of what can be clicked, such as "#2f5fd0"; "" is
	// the pages' own. Its shade is changed as far as legibility asks.
	Accent string
	// FrameAncestors are the sites that may show the pages in a frame, as
	// [ParseOrigin] takes them; none may when empty.
	FrameAncestors []string
}

// Logo is an image of a kind that browsers show.
type Logo struct {
	Data []byte
	Type string
}

// MaxLogoBytes bounds a logo: it is on every page.
const MaxLogoBytes = 256 << 10

// ParseLogo looks into an image: PNG, JPEG, WebP or SVG.
func ParseLogo(data []byte) (*Logo, error) {
	if len(data) > MaxLogoBytes {
		return nil, fmt.Errorf("has %d bytes, more than %d", len(data), MaxLogoBytes)
	}
	switch kind := http.DetectContentType(data); kind {
	case "image/png", "image/jpeg", "image/webp":
		return &Logo{Data: data, Type: kind}, nil
	}
	if err := checkSVG(data); err != nil {
		return nil, fmt.Errorf("is no PNG, JPEG, WebP or SVG image: %w", err)
	}
	return &Logo{Data: data, Type: "image/svg+xml"}, nil
}

// checkSVG reads an SVG to its end: one that is broken would show as nothing.
func checkSVG(data []byte) error {
	dec := xml.NewDecoder(bytes.NewReader(data))
	root := ""
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) && root != "" {
			return nil
		}
		if err != nil {
			return err
		}
		if start, ok := token.(xml.StartElement); ok && root == "" {
			if root = start.Name.Local; root != "svg" {
				return fmt.Errorf("it begins with <%s>", root)
			}
		}
	}
}

// The surfaces of the pages, as in static/css/10-base.css.
func lightGround() palette.Ground {
	return groundOf("#000000", "#ffffff", "#ffffff", "#fafafa", "#f3f4f6")
}

func darkGround() palette.Ground {
	return groundOf("#ffffff", "#0b1020", "#17181b", "#0f1012", "#1f2024", "#0b0c0d", "#202226")
}

func groundOf(ink, paper string, surfaces ...string) palette.Ground {
	color := func(text string) palette.Color {
		c, err := palette.Parse(text)
		if err != nil {
			panic("web: " + err.Error())
		}
		return c
	}
	g := palette.Ground{Ink: color(ink), Paper: color(paper)}
	for _, text := range surfaces {
		g.Surfaces = append(g.Surfaces, color(text))
	}
	return g
}

// style is what the brand adds to the stylesheet.
func (b *Brand) style() string {
	if b.Accent == "" {
		return ""
	}
	chosen, err := palette.Parse(b.Accent)
	if err != nil {
		panic("web: accent: " + err.Error()) // Validate looked at it
	}
	rule := func(g palette.Ground) string {
		a := palette.For(chosen, g)
		return fmt.Sprintf(":root{--accent:%v;--accent-text:%v;--accent-soft:%v}", a.Color, a.Text, a.Soft)
	}
	return rule(lightGround()) + "@media (prefers-color-scheme: dark){" + rule(darkGround()) + "}\n"
}

// Validate says what is wrong with the accent or an origin.
func (b *Brand) Validate() error {
	if b.Accent != "" {
		if _, err := palette.Parse(b.Accent); err != nil {
			return &BrandError{Field: "Accent", Err: err}
		}
	}
	for _, origin := range b.FrameAncestors {
		if _, err := ParseOrigin(origin); err != nil {
			return &BrandError{Field: "FrameAncestors", Err: err}
		}
	}
	if len(b.ProductName) > maxProductName || strings.ContainsFunc(b.ProductName, func(c rune) bool { return c < ' ' }) {
		return &BrandError{Field: "ProductName", Err: fmt.Errorf("must have at most %d bytes and no control characters", maxProductName)}
	}
	return nil
}

// maxProductName bounds what stands at the top of every page.
const maxProductName = 100

// BrandError says which field of a Brand is wrong.
type BrandError struct {
	Field string
	Err   error
}

func (e *BrandError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap returns what is wrong.
func (e *BrandError) Unwrap() error { return e.Err }
