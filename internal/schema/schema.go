// Package schema holds what a product says its events look like: for each
// action, numbered versions that never change, each naming the types of an
// event's targets and small JSON Schemas for metadata.
//
// A [Schema] is the form people write and read, a catalogue file
// ([ParseCatalogue]) a list of them. The [Registry] keeps the registered ones,
// compiled, and checks events against them; checking an event that is right
// allocates nothing. [Compare] says what changed between two versions and
// whether it breaks anyone, [Review] what a file would change.
package schema

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/stelehq/stele/audit"
)

// Limits of a schema, beside those of an event in package audit, which bound
// what a schema can usefully say.
const (
	// MaxVersion is the highest version of an action: events carry 16 bits.
	MaxVersion = 65_535
	// MaxEnumValues keeps an enum a list that a person can read, and the
	// search through it short.
	MaxEnumValues = 500
	// MaxSchemaBytes is the size of a schema's JSON; a stored record may have
	// 1 MiB.
	MaxSchemaBytes = 256 << 10
	// MaxDescriptionBytes bounds every description.
	MaxDescriptionBytes = 4 << 10
)

// Type is the type of a value in metadata.
type Type string

// The types of values. An integer is a number without a fraction.
const (
	TypeString  Type = "string"
	TypeNumber  Type = "number"
	TypeInteger Type = "integer"
	TypeBoolean Type = "boolean"
	TypeArray   Type = "array"
	TypeObject  Type = "object"
)

// Schema is one version of what an action's events look like. Registered, only
// its descriptions ever change.
type Schema struct {
	// Action names the action, such as "api_key.created".
	Action string `json:"action"`
	// Version counts from 1, without gaps.
	Version int `json:"version"`
	// Description is for people; it takes no part in checking or comparing.
	Description string `json:"description,omitempty"`
	// Targets are the types of target an event has: each must occur, in any
	// order and any number, and no other may. None declared means any.
	Targets []Target `json:"targets"`
	// Actor says what the actor's metadata looks like; nil means anything.
	Actor *Actor `json:"actor,omitempty"`
	// Metadata says what the event's metadata looks like; nil means anything.
	Metadata *Property `json:"metadata,omitempty"`
	// CreatedAt is when the version was registered; zero in a file.
	CreatedAt time.Time `json:"created_at,omitzero"`
}

// Target is a type of target.
type Target struct {
	// Type is the product's word for it.
	Type string `json:"type"`
	// Metadata says what every target of this type carries; nil means
	// anything.
	Metadata *Property `json:"metadata,omitempty"`
}

// Actor is what a schema says of the actor, whatever its type.
type Actor struct {
	// Metadata says what the actor carries; nil means anything.
	Metadata *Property `json:"metadata,omitempty"`
}

// Property is a small JSON Schema. The metadata of an event, actor or target is
// a Property of type object. Keys that are not among Properties may occur and
// hold anything.
type Property struct {
	// Type is the only thing a property must say.
	Type Type `json:"type"`
	// Description is for people.
	Description string `json:"description,omitempty"`
	// Enum lists the values allowed: strings, float64 or bool, of the type.
	Enum []any `json:"enum,omitempty"`
	// Format narrows a string to one of [Formats].
	Format string `json:"format,omitempty"`
	// Items is what the elements of an array look like; nil means anything.
	Items *Property `json:"items,omitempty"`
	// Properties are the known keys of an object.
	Properties map[string]*Property `json:"properties,omitempty"`
	// Required lists the keys of Properties which must be there.
	Required []string `json:"required,omitempty"`
}

// Ref names one version of an action.
type Ref struct {
	Action  string `json:"action"`
	Version int    `json:"version"`
}

// Ref returns the name of the schema.
func (s *Schema) Ref() Ref { return Ref{Action: s.Action, Version: s.Version} }

// Validate says what is wrong with a schema, as *audit.Error with a JSON
// pointer. Version 0 passes: it stands for the next one.
func (s *Schema) Validate() error {
	_, err := compile(s)
	return err
}

// normal returns a deep copy of s in the form it has after it was stored: what
// means nothing is absent. It is the caller's alone.
func (s *Schema) normal() (*Schema, error) {
	data, err := marshal(s)
	if err != nil {
		return nil, err
	}
	if len(data) > MaxSchemaBytes {
		return nil, audit.Errorf(audit.CodeTooLarge, "a schema may have %d bytes as JSON, this one has %d", MaxSchemaBytes, len(data))
	}
	out := new(Schema)
	if err := unmarshal(data, out); err != nil {
		return nil, err
	}
	if out.Targets == nil {
		out.Targets = []Target{}
	}
	if out.Actor != nil && out.Actor.Metadata == nil {
		out.Actor = nil
	}
	return out, nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// sortTargets puts declared types in the order of their names, for comparing.
func sortTargets(targets []Target) []Target {
	sorted := slices.Clone(targets)
	slices.SortFunc(sorted, func(a, b Target) int { return strings.Compare(a.Type, b.Type) })
	return sorted
}

// marshal writes JSON that is the same for the same value.
func marshal(v any, opts ...json.Options) ([]byte, error) {
	return json.Marshal(v, append(opts, json.Deterministic(true))...)
}
