package audit

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Match reports whether the query finds the entry: both times are in bounds and
// every filter of the query's normal form holds. It is the definition of search;
// engines are tested against it and are faster.
//
// A filter holds when the field has one of its values or, when Not, none. What
// "has" means:
//
//   - id, version, actor.type, actor.id, target.type, target.id, location and
//     schema: the field is the value, letter for letter;
//   - action: likewise; or, where the value ends in "*", the action begins with
//     what is before it;
//   - actor.name, target.name and user_agent: the field contains the value,
//     ignoring case;
//   - paths into metadata: a string is the value; a number, true or false is it
//     as canonical JSON writes it; an array has an element that does; null and
//     objects have no value;
//   - text: action, actor id and name, a target's id or name, location, user
//     agent or a string, number, true or false anywhere in metadata contains the
//     value, ignoring case; or the entry's id is the value, ignoring case. Types
//     and the keys of metadata are not looked at. All values must be there.
//
// Ignoring case means that both sides are compared after [strings.ToLower]. Of
// several targets, each may supply a value.
func (q Query) Match(e *Entry) bool {
	if !inRange(e.OccurredAt, q.OccurredFrom, q.OccurredTo) || !inRange(e.ReceivedAt, q.ReceivedFrom, q.ReceivedTo) {
		return false
	}
	for _, f := range q.Normalize().Filters {
		if !f.match(e) {
			return false
		}
	}
	return true
}

// inRange reports whether from ≤ t < to, where the zero time is no bound.
func inRange(t, from, to time.Time) bool {
	return (from.IsZero() || !t.Before(from)) && (to.IsZero() || t.Before(to))
}

// match reports whether a filter of a query in normal form holds.
func (f Filter) match(e *Entry) bool {
	has := func(v string) bool { return f.Field.has(e, v) }
	switch {
	case f.Not:
		return !slices.ContainsFunc(f.Values, has)
	case f.Field == FieldText:
		return !slices.ContainsFunc(f.Values, func(v string) bool { return !has(v) })
	default:
		return slices.ContainsFunc(f.Values, has)
	}
}

// has reports whether the field of an entry has a value.
func (f Field) has(e *Entry, v string) bool {
	switch f {
	case FieldID:
		return e.ID == v
	case FieldAction:
		prefix, wild := strings.CutSuffix(v, "*")
		return e.Action == v || wild && strings.HasPrefix(e.Action, prefix)
	case FieldVersion:
		return strconv.Itoa(e.Version) == v
	case FieldActorType:
		return e.Actor.Type == v
	case FieldActorID:
		return e.Actor.ID == v
	case FieldActorName:
		return containsFold(e.Actor.Name, v)
	case FieldTargetType:
		return anyTarget(e, func(t *Target) bool { return t.Type == v })
	case FieldTargetID:
		return anyTarget(e, func(t *Target) bool { return t.ID == v })
	case FieldTargetName:
		return anyTarget(e, func(t *Target) bool { return containsFold(t.Name, v) })
	case FieldLocation:
		return e.Context.Location == v
	case FieldUserAgent:
		return containsFold(e.Context.UserAgent, v)
	case FieldSchema:
		return e.Schema == v
	case FieldText:
		return e.hasText(v)
	default:
		return f.hasMetadata(e, v)
	}
}

func anyTarget(e *Entry, has func(*Target) bool) bool {
	for i := range e.Targets {
		if has(&e.Targets[i]) {
			return true
		}
	}
	return false
}

func containsFold(s, substr string) bool {
	return strings.Contains(strings.ToLower(s), strings.ToLower(substr))
}

// hasText reports whether free text is found in an entry.
func (e *Entry) hasText(v string) bool {
	has := func(s string) bool { return containsFold(s, v) }
	inTarget := func(t *Target) bool { return has(t.ID) || has(t.Name) || anyLeaf(map[string]any(t.Metadata), has) }
	return has(e.Action) || has(e.Actor.ID) || has(e.Actor.Name) || has(e.Context.Location) || has(e.Context.UserAgent) ||
		anyLeaf(map[string]any(e.Metadata), has) || anyLeaf(map[string]any(e.Actor.Metadata), has) || anyTarget(e, inTarget) ||
		containsFold(e.ID, v) && containsFold(v, e.ID)
}

// hasMetadata reports whether there is a value at a path into metadata.
func (f Field) hasMetadata(e *Entry, v string) bool {
	is := func(s string) bool { return s == v }
	switch owner, path, ok := f.MetadataPath(); {
	case !ok:
		return false
	case owner == "actor":
		return anyAtPath(map[string]any(e.Actor.Metadata), path, is)
	case owner == "target":
		return anyTarget(e, func(t *Target) bool { return anyAtPath(map[string]any(t.Metadata), path, is) })
	default:
		return anyAtPath(map[string]any(e.Metadata), path, is)
	}
}

// anyAtPath reports whether is holds for a value at the path below v: the path is
// a key, or begins with a key and a dot and goes on below it.
func anyAtPath(v any, path string, is func(string) bool) bool {
	switch v := plain(v).(type) {
	case []any:
		return slices.ContainsFunc(v, func(elem any) bool { return anyAtPath(elem, path, is) })
	case map[string]any:
		for key, below := range v {
			if key == path && anyValue(below, is) {
				return true
			}
			if rest, ok := strings.CutPrefix(path, key+"."); ok && anyAtPath(below, rest, is) {
				return true
			}
		}
	}
	return false
}

// anyValue reports whether is holds for v or, where v is an array, for one of its
// elements.
func anyValue(v any, is func(string) bool) bool {
	if elems, ok := plain(v).([]any); ok {
		return slices.ContainsFunc(elems, func(elem any) bool { return anyValue(elem, is) })
	}
	s, ok := leafText(v)
	return ok && is(s)
}

// anyLeaf reports whether is holds for a string, number or boolean anywhere below
// v.
func anyLeaf(v any, is func(string) bool) bool {
	switch v := plain(v).(type) {
	case []any:
		return slices.ContainsFunc(v, func(elem any) bool { return anyLeaf(elem, is) })
	case map[string]any:
		for _, below := range v {
			if anyLeaf(below, is) {
				return true
			}
		}
		return false
	default:
		s, ok := leafText(v)
		return ok && is(s)
	}
}

// plain gives a value of metadata in one of the types that [Metadata] names.
func plain(v any) any {
	switch v := v.(type) {
	case nil, string, bool, float64, []any, map[string]any:
		return v
	case Metadata:
		return map[string]any(v)
	default:
		generic, err := toGeneric(v)
		if err != nil {
			return nil
		}
		return generic
	}
}

// leafText is the text of a string, or a number or boolean in canonical JSON; no
// other value has one.
func leafText(v any) (string, bool) {
	switch v := plain(v).(type) {
	case string:
		return v, true
	case nil, []any, map[string]any:
		return "", false
	default:
		text, err := appendCanonical(nil, v)
		return string(text), err == nil
	}
}
