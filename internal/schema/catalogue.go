package schema

import (
	"time"

	"github.com/stelehq/stele/audit"
)

// Catalogue is a file of schemas.
type Catalogue struct {
	Description string
	Schemas     []Schema
}

// ParseCatalogue reads a catalogue file; errors are *audit.Error.
func ParseCatalogue(data []byte) (*Catalogue, error) { panic("unfinished") }

// ParseSchema reads the JSON of one schema; errors are *audit.Error. Version
// may be absent (0).
func ParseSchema(data []byte) (Schema, error) { panic("unfinished") }

// Format writes a catalogue file.
func (c *Catalogue) Format() ([]byte, error) { panic("unfinished") }

// Example returns an event that satisfies s.
func Example(s *Schema, at time.Time) audit.Event { panic("unfinished") }
