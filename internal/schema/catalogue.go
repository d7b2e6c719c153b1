package schema

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/stelehq/stele/audit"
)

// FileFormat is the version of the catalogue file's format: the value of its
// key "format".
const FileFormat = 1

// Catalogue is a file of schemas. The form of the file is in docs/schemas.md.
type Catalogue struct {
	// Description is for people.
	Description string
	// Schemas are in the order of the file, each version of an action once.
	Schemas []Schema
}

// file is the JSON of a catalogue file.
type file struct {
	Format      int      `json:"format"`
	Description string   `json:"description,omitempty"`
	Actor       *Actor   `json:"actor,omitempty"`
	Schemas     []Schema `json:"schemas"`
}

// ParseCatalogue reads a catalogue file: this package's own format or, as a list
// of entries, the one that [convert] describes. It is strict: a key that does
// not exist is an error. Errors are *audit.Error with a JSON pointer into the
// file and, where known, the line.
func ParseCatalogue(data []byte) (*Catalogue, error) {
	var shape struct {
		Format  *int           `json:"format"`
		Entries jsontext.Value `json:"entries"`
	}
	if err := unmarshalLoose(data, &shape); err != nil {
		return nil, err
	}
	if shape.Format == nil && shape.Entries != nil {
		return convert(data)
	}
	if err := checkFormat(data, FileFormat); err != nil {
		return nil, err
	}
	var f file
	if err := unmarshal(data, &f); err != nil {
		return nil, err
	}
	for i := range f.Schemas {
		s := &f.Schemas[i]
		// What a server answers may be applied to another one.
		s.CreatedAt = time.Time{}
		if s.Actor == nil {
			s.Actor = f.Actor
		}
	}
	c := &Catalogue{Description: f.Description, Schemas: f.Schemas}
	if err := c.validate("/schemas"); err != nil {
		return nil, err
	}
	return c, nil
}

// validate checks every schema; path is where they are in the file.
func (c *Catalogue) validate(path string) error {
	if len(c.Schemas) == 0 {
		return invalid(path, "the file has no schemas")
	}
	seen := make(map[Ref]bool, len(c.Schemas))
	for i := range c.Schemas {
		s, at := &c.Schemas[i], path+"/"+strconv.Itoa(i)
		if err := s.Validate(); err != nil {
			return below(err, at)
		}
		switch {
		case s.Version == 0:
			return invalid(at+"/version", "the version is missing")
		case seen[s.Ref()]:
			return invalid(at, "version %d of %q occurs twice", s.Version, s.Action)
		}
		seen[s.Ref()] = true
	}
	return nil
}

// Format writes a catalogue as a file of this package's format, one schema a
// line, so that a change is a line in a diff. [ParseCatalogue] reads it back.
func (c *Catalogue) Format() ([]byte, error) {
	f := file{Format: FileFormat, Description: c.Description, Actor: c.commonActor()}
	head, err := marshal(f, jsontext.WithIndent("  "))
	if err != nil {
		return nil, fmt.Errorf("write catalogue: %w", err)
	}
	// The head ends in an empty list and a brace.
	out := append(head[:len(head)-len("]\n}")], '\n')
	for i, s := range c.Schemas {
		if f.Actor != nil {
			s.Actor = nil
		}
		line, err := marshal(s, jsontext.SpaceAfterColon(true), jsontext.SpaceAfterComma(true))
		if err != nil {
			return nil, fmt.Errorf("write schema: %w", err)
		}
		out = append(append(out, "    "...), line...)
		if i < len(c.Schemas)-1 {
			out = append(out, ',')
		}
		out = append(out, '\n')
	}
	return append(out, "  ]\n}\n"...), nil
}

// commonActor returns what every schema says of the actor, nil unless all say
// the same.
func (c *Catalogue) commonActor() *Actor {
	for i := range c.Schemas {
		if a := c.Schemas[i].Actor; a == nil || !reflect.DeepEqual(a, c.Schemas[0].Actor) {
			return nil
		}
	}
	return c.Schemas[0].Actor
}

// sorted returns the schemas by action and version.
func (c *Catalogue) sorted() []*Schema {
	out := make([]*Schema, len(c.Schemas))
	for i := range c.Schemas {
		out[i] = &c.Schemas[i]
	}
	slices.SortFunc(out, func(a, b *Schema) int {
		return cmp.Or(cmp.Compare(a.Action, b.Action), cmp.Compare(a.Version, b.Version))
	})
	return out
}

// checkFormat reads nothing but the version of a format, so that a later one is
// named for what it is and not for its unknown keys.
func checkFormat(data []byte, want int) error {
	var head struct {
		Format *int `json:"format"`
	}
	if err := unmarshalLoose(data, &head); err != nil {
		return err
	}
	if head.Format == nil {
		return invalid("/format", "the version of the format is missing; it is %d", want)
	}
	if *head.Format != want {
		return invalid("/format", "format %d is not known to this version of Stele, which reads %d", *head.Format, want)
	}
	return nil
}

// unmarshalLoose is unmarshal that lets unknown keys pass.
func unmarshalLoose(data []byte, v any) error {
	return readError(data, json.Unmarshal(data, v))
}

// below returns an error about a part as one about the whole.
func below(err error, path string) error {
	e, ok := err.(*audit.Error) //nolint:errorlint // made by this package, never wrapped
	if !ok {
		return err
	}
	out := *e
	out.Field = path + e.Field
	return &out
}
