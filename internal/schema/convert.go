package schema

import (
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/stelehq/stele/audit"
)

// reference is a catalogue as API references tend to list it: entries with the
// names of their targets and flat metadata, and the keys that each type of actor
// may carry.
type reference struct {
	Source      string              `json:"source"`
	ActorTypes  map[string][]string `json:"actor_types"`
	TargetTypes []string            `json:"target_types"`
	Context     jsontext.Value      `json:"context"`
	Entries     []referenceEntry    `json:"entries"`
}

type referenceEntry struct {
	Action      string                    `json:"action"`
	Version     int                       `json:"version"`
	Description string                    `json:"description"`
	Targets     []string                  `json:"targets"`
	Metadata    map[string]referenceField `json:"metadata"`
}

type referenceField struct {
	Type        Type   `json:"type"`
	Description string `json:"description"`
	Required    bool   `json:"required"`
	Enum        []any  `json:"enum"`
	Format      string `json:"format"`
}

// convert reads the reference form. What it cannot say in schemas it leaves
// out: "context" (every event may have one), and which keys belong to which
// type of actor. An actor's keys become optional strings, for such a list gives
// no types, and the same for every action.
func convert(data []byte) (*Catalogue, error) {
	var ref reference
	if err := unmarshal(data, &ref); err != nil {
		return nil, err
	}
	actor := ref.actor()
	c := &Catalogue{Description: ref.Source, Schemas: make([]Schema, len(ref.Entries))}
	for i := range ref.Entries {
		s, err := ref.Entries[i].schema(ref.TargetTypes)
		if err != nil {
			return nil, below(err, "/entries/"+strconv.Itoa(i))
		}
		s.Actor = actor
		c.Schemas[i] = s
	}
	if err := c.validate("/entries"); err != nil {
		return nil, err
	}
	return c, nil
}

func (r *reference) actor() *Actor {
	properties := map[string]*Property{}
	for _, keys := range r.ActorTypes {
		for _, key := range keys {
			properties[key] = &Property{Type: TypeString}
		}
	}
	if len(properties) == 0 {
		return nil
	}
	return &Actor{Metadata: &Property{Type: TypeObject, Properties: properties}}
}

// schema converts one entry. A list of the known types of target, where the file
// has one, catches misspelled ones.
func (e *referenceEntry) schema(known []string) (Schema, error) {
	s := Schema{Action: e.Action, Version: e.Version, Description: e.Description, Targets: []Target{}}
	for i, name := range e.Targets {
		if len(known) > 0 && !slices.Contains(known, name) {
			return Schema{}, invalid("/targets/"+strconv.Itoa(i), "%q is not among the target_types", name)
		}
		s.Targets = append(s.Targets, Target{Type: name})
	}
	if len(e.Metadata) == 0 {
		return s, nil
	}
	s.Metadata = &Property{Type: TypeObject, Properties: map[string]*Property{}}
	for _, name := range sortedKeys(e.Metadata) {
		f := e.Metadata[name]
		if f.Type == TypeObject {
			return Schema{}, audit.FieldErrorf(audit.CodeInvalidRequest, pointer("/metadata", name)+"/type", "cannot be an object in this form of catalogue")
		}
		s.Metadata.Properties[name] = &Property{Type: f.Type, Description: f.Description, Enum: f.Enum, Format: f.Format}
		if f.Required {
			s.Metadata.Required = append(s.Metadata.Required, name)
		}
	}
	return s, nil
}
