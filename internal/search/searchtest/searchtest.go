// Package searchtest makes random queries for tests, out of what the entries
// hold that they are asked of, so that they find some and not others.
package searchtest

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
)

// Queries gives valid queries about entries: each filter is on something that
// one of them has, or nearly.
func Queries(entries []audit.Entry) *rapid.Generator[audit.Query] {
	return rapid.Custom(func(t *rapid.T) audit.Query {
		var q audit.Query
		for range rapid.IntRange(0, 3).Draw(t, "filters") {
			if f, ok := filter(t, entries); ok {
				q.Filters = append(q.Filters, f)
			}
		}
		if len(entries) > 0 && rapid.IntRange(0, 3).Draw(t, "occurred range") == 0 {
			q.OccurredFrom, q.OccurredTo = span(t, entries, func(e *audit.Entry) time.Time { return e.OccurredAt })
		}
		if len(entries) > 0 && rapid.IntRange(0, 5).Draw(t, "received range") == 0 {
			q.ReceivedFrom, q.ReceivedTo = span(t, entries, func(e *audit.Entry) time.Time { return e.ReceivedAt })
		}
		if q.Validate() != nil {
			return audit.Query{} // such as a name that is a lone *
		}
		return q
	})
}

// filter gives a filter with a few values that a field of entries has.
func filter(t *rapid.T, entries []audit.Entry) (audit.Filter, bool) {
	f := audit.Filter{Not: rapid.IntRange(0, 3).Draw(t, "not") == 0}
	if len(entries) == 0 {
		return audit.Filter{Field: audit.FieldActorID, Values: []string{"x"}}, true
	}
	first := pick(t, entries)
	f.Field = field(t, first)
	for range rapid.IntRange(1, 3).Draw(t, "values") {
		e := pick(t, entries)
		if len(f.Values) == 0 {
			e = first
		}
		if v := value(t, f.Field, e); v != "" {
			f.Values = append(f.Values, v)
		}
	}
	return f, len(f.Values) > 0
}

func pick(t *rapid.T, entries []audit.Entry) *audit.Entry {
	return &entries[rapid.IntRange(0, len(entries)-1).Draw(t, "entry")]
}

// field gives a field, often a path into the entry's metadata.
func field(t *rapid.T, e *audit.Entry) audit.Field {
	var paths []string
	addPaths(&paths, "metadata", map[string]any(e.Metadata))
	addPaths(&paths, "actor.metadata", map[string]any(e.Actor.Metadata))
	for i := range e.Targets {
		addPaths(&paths, "target.metadata", map[string]any(e.Targets[i].Metadata))
	}
	if len(paths) > 0 && rapid.IntRange(0, 2).Draw(t, "metadata") == 0 {
		path := rapid.SampledFrom(paths).Draw(t, "path")
		if _, _, ok := audit.Field(path).MetadataPath(); ok {
			return audit.Field(path)
		}
	}
	return rapid.SampledFrom(audit.Fields()).Draw(t, "field")
}

// addPaths collects the paths to all values below v.
func addPaths(paths *[]string, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range sortedKeys(v) {
			addPaths(paths, path+"."+key, v[key])
		}
	case []any:
		for _, elem := range v {
			addPaths(paths, path, elem)
		}
	default:
		*paths = append(*paths, path)
	}
}

// value gives a value that the entry has in a field, or nearly; "" when it has
// none.
func value(t *rapid.T, f audit.Field, e *audit.Entry) string {
	target := audit.Target{}
	if len(e.Targets) > 0 {
		target = rapid.SampledFrom(e.Targets).Draw(t, "target")
	}
	switch f {
	case audit.FieldID:
		return e.ID
	case audit.FieldAction:
		return actionPattern(t, e.Action)
	case audit.FieldVersion:
		return strconv.Itoa(e.Version)
	case audit.FieldActorType:
		return e.Actor.Type
	case audit.FieldActorID:
		return e.Actor.ID
	case audit.FieldActorName:
		return part(t, e.Actor.Name)
	case audit.FieldTargetType:
		return target.Type
	case audit.FieldTargetID:
		return target.ID
	case audit.FieldTargetName:
		return part(t, target.Name)
	case audit.FieldLocation:
		return e.Context.Location
	case audit.FieldUserAgent:
		return part(t, e.Context.UserAgent)
	case audit.FieldSchema:
		return audit.SchemaUnregistered
	case audit.FieldText:
		return part(t, anyText(t, e, target))
	default:
		return metadataValue(t, f, e, target)
	}
}

func actionPattern(t *rapid.T, action string) string {
	if rapid.Bool().Draw(t, "wildcard") {
		action = action[:rapid.IntRange(0, len(action)).Draw(t, "cut")] + "*"
	}
	if inner := strings.TrimSuffix(action, "*"); strings.Contains(inner, "*") {
		return strings.ReplaceAll(inner, "*", "x")
	}
	return action
}

// anyText gives one of the texts that free text looks at, or one that it must not
// look at.
func anyText(t *rapid.T, e *audit.Entry, target audit.Target) string {
	texts := []string{
		e.Action, e.ID, e.Actor.ID, e.Actor.Name, e.Actor.Type, target.ID, target.Name, target.Type,
		e.Context.Location, e.Context.UserAgent,
	}
	addLeaves(&texts, map[string]any(e.Metadata))
	addLeaves(&texts, map[string]any(e.Actor.Metadata))
	addLeaves(&texts, map[string]any(target.Metadata))
	return rapid.SampledFrom(texts).Draw(t, "text")
}

// metadataValue gives a text of the metadata that a path leads into.
func metadataValue(t *rapid.T, f audit.Field, e *audit.Entry, target audit.Target) string {
	var texts []string
	switch owner, _, _ := f.MetadataPath(); owner {
	case "actor":
		addLeaves(&texts, map[string]any(e.Actor.Metadata))
	case "target":
		addLeaves(&texts, map[string]any(target.Metadata))
	default:
		addLeaves(&texts, map[string]any(e.Metadata))
	}
	if len(texts) == 0 {
		return ""
	}
	return rapid.SampledFrom(texts).Draw(t, "metadata value")
}

// addLeaves collects the texts of all values below v, and its keys: those must
// not be found.
func addLeaves(texts *[]string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range sortedKeys(v) {
			*texts = append(*texts, key)
			addLeaves(texts, v[key])
		}
	case []any:
		for _, elem := range v {
			addLeaves(texts, elem)
		}
	case string:
		*texts = append(*texts, v)
	case bool:
		*texts = append(*texts, strconv.FormatBool(v))
	case float64:
		*texts = append(*texts, strconv.FormatFloat(v, 'f', -1, 64))
	case nil:
		*texts = append(*texts, "null")
	}
}

// part gives a part of a text in any case.
func part(t *rapid.T, s string) string {
	runes := []rune(s)
	if len(runes) > 1 && rapid.Bool().Draw(t, "part") {
		from := rapid.IntRange(0, len(runes)-1).Draw(t, "from")
		runes = runes[from:rapid.IntRange(from+1, len(runes)).Draw(t, "to")]
	}
	s = string(runes)
	switch rapid.IntRange(0, 3).Draw(t, "case") {
	case 0:
		return strings.ToUpper(s)
	case 1:
		return strings.ToLower(s)
	default:
		return s
	}
}

// span gives a range of time that begins or ends at entries or just beside.
func span(t *rapid.T, entries []audit.Entry, of func(*audit.Entry) time.Time) (from, to time.Time) {
	at := func(what string) time.Time {
		beside := rapid.IntRange(-1, 1).Draw(t, what+" beside")
		return of(pick(t, entries)).Add(time.Duration(beside))
	}
	if rapid.IntRange(0, 3).Draw(t, "no from") > 0 {
		from = at("from")
	}
	if rapid.IntRange(0, 3).Draw(t, "no to") > 0 {
		to = at("to")
	}
	if !from.IsZero() && !to.IsZero() && to.Before(from) {
		from, to = to, from
	}
	return from, to
}

func sortedKeys(m map[string]any) []string {
	return slices.Sorted(maps.Keys(m))
}
