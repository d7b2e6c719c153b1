// Package schema holds what a product says its events look like: for each
// action, numbered versions that never change, each naming the types of an
// event's targets and small JSON Schemas for metadata.
//
// A [Schema] is the form people write and read, a catalogue ([Catalogue]) a file
// of them. The [Registry] keeps the registered ones, compiled, and checks events
// against them; checking an event that is right allocates nothing.
package schema

import (
	"time"
)

// Type is the type of a value in metadata.
type Type string

// The types of values.
const (
	TypeString  Type = "string"
	TypeNumber  Type = "number"
	TypeInteger Type = "integer"
	TypeBoolean Type = "boolean"
	TypeArray   Type = "array"
	TypeObject  Type = "object"
)

// Schema is one version of what an action's events look like. Registered, it
// never changes.
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
	Type string `json:"type"`
	// Metadata says what a target of this type carries; nil means anything.
	Metadata *Property `json:"metadata,omitempty"`
}

// Actor is what a schema says of the actor.
type Actor struct {
	Metadata *Property `json:"metadata,omitempty"`
}

// Property is a small JSON Schema. The metadata of an event, actor or target is
// a Property of type object. Keys that are not among Properties may occur and
// hold anything.
type Property struct {
	Type        Type   `json:"type"`
	Description string `json:"description,omitempty"`
	// Enum lists the values allowed: strings, float64 or bool, of the type.
	Enum []any `json:"enum,omitempty"`
	// Format narrows a string; see [Formats].
	Format string `json:"format,omitempty"`
	// Items is what the elements of an array look like; nil means anything.
	Items *Property `json:"items,omitempty"`
	// Properties are the known keys of an object.
	Properties map[string]*Property `json:"properties,omitempty"`
	// Required lists the keys of Properties which must be there.
	Required []string `json:"required,omitempty"`
}
