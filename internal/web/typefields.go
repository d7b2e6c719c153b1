package web

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/schema"
)

// fieldRow is one field that a schema declares.
type fieldRow struct {
	// Group is what the field belongs to, such as "Metadata" or "Target
	// api_key".
	Group string
	// Name is the path that filters and files have, such as
	// "metadata.after_roles".
	Name        string
	Type        string
	Required    bool
	Values      []string
	Description string
}

// fieldRows lists what a schema declares, in the order of the groups: actor,
// targets, metadata.
func fieldRows(s *schema.Schema) []fieldRow {
	var rows []fieldRow
	if s.Actor != nil {
		rows = appendFields(rows, "Actor", "actor.metadata", s.Actor.Metadata)
	}
	seen := map[string]bool{}
	for _, t := range s.Targets {
		if seen[t.Type] { // declared twice, which says nothing more
			continue
		}
		seen[t.Type] = true
		group := "Target " + t.Type
		rows = append(rows, fieldRow{Group: group, Name: "target.type", Type: "string", Required: true, Values: []string{t.Type}})
		rows = appendFields(rows, group, "target.metadata", t.Metadata)
	}
	return appendFields(rows, "Metadata", "metadata", s.Metadata)
}

// appendFields appends the keys of an object, those of objects in it below it.
func appendFields(rows []fieldRow, group, path string, p *schema.Property) []fieldRow {
	if p == nil {
		return rows
	}
	for _, key := range slices.Sorted(maps.Keys(p.Properties)) {
		v := p.Properties[key]
		rows = append(rows, fieldRow{
			Group: group, Name: path + "." + key, Type: typeWords(v), Required: slices.Contains(p.Required, key),
			Values: valueTexts(innermost(v).Enum), Description: v.Description,
		})
		rows = appendFields(rows, group, path+"."+key, innermost(v))
	}
	return rows
}

// innermost is what an array of arrays holds in the end; anything else is itself.
func innermost(p *schema.Property) *schema.Property {
	for p.Type == schema.TypeArray && p.Items != nil {
		p = p.Items
	}
	return p
}

// typeWords names a type: "string, email", "array of strings".
func typeWords(p *schema.Property) string {
	switch {
	case p.Type == schema.TypeArray && p.Items == nil:
		return "array"
	case p.Type == schema.TypeArray:
		return "array of " + typeWords(p.Items)
	case p.Format != "":
		return string(p.Type) + ", " + p.Format
	}
	return string(p.Type)
}

func valueTexts(values []any) []string {
	var out []string
	for _, v := range values {
		if s, ok := v.(string); ok {
			out = append(out, s)
			continue
		}
		text, err := json.Marshal(v)
		if err == nil {
			out = append(out, string(text))
		}
	}
	return out
}

// fieldPair is a field in two versions; nil where a version does not have it.
type fieldPair struct {
	Name string
	A, B *fieldRow
	// Mark is "added", "removed", "changed" or "" for the same.
	Mark string
}

// pairGroup is the fields of one group in two versions.
type pairGroup struct {
	Group string
	Pairs []fieldPair
}

// pairFields puts the fields of two versions side by side.
func pairFields(a, b []fieldRow) []pairGroup {
	var groups []pairGroup
	find := func(rows []fieldRow, of *fieldRow) *fieldRow {
		for i := range rows {
			if rows[i].Group == of.Group && rows[i].Name == of.Name {
				return &rows[i]
			}
		}
		return nil
	}
	add := func(pair fieldPair, group string) {
		i := slices.IndexFunc(groups, func(g pairGroup) bool { return g.Group == group })
		if i < 0 {
			groups = append(groups, pairGroup{Group: group})
			i = len(groups) - 1
		}
		groups[i].Pairs = append(groups[i].Pairs, pair)
	}
	for i := range a {
		other := find(b, &a[i])
		add(fieldPair{Name: a[i].Name, A: &a[i], B: other, Mark: markOf(&a[i], other)}, a[i].Group)
	}
	for i := range b {
		if find(a, &b[i]) == nil {
			add(fieldPair{Name: b[i].Name, B: &b[i], Mark: markOf(nil, &b[i])}, b[i].Group)
		}
	}
	for _, g := range groups {
		slices.SortStableFunc(g.Pairs, func(x, y fieldPair) int { return strings.Compare(x.Name, y.Name) })
	}
	slices.SortStableFunc(groups, func(x, y pairGroup) int { return groupRank(x.Group) - groupRank(y.Group) })
	return groups
}

func groupRank(group string) int {
	switch group {
	case "Actor":
		return 0
	case "Metadata":
		return 2
	default:
		return 1
	}
}

// The marks of a fieldPair.
const (
	markAdded   = "added"
	markRemoved = "removed"
	markChanged = "changed"
)

func markOf(a, b *fieldRow) string {
	switch {
	case a == nil:
		return markAdded
	case b == nil:
		return markRemoved
	case a.Type != b.Type || a.Required != b.Required || !slices.Equal(a.Values, b.Values):
		return markChanged
	}
	return ""
}

// exampleJSON is an event that a schema lets pass, as a product would send it.
func exampleJSON(s *schema.Schema, at time.Time) (string, error) {
	return prettyJSON(schema.Example(s, at))
}

func prettyJSON(e audit.Event) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(e); err != nil {
		return "", err
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}
