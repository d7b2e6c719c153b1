package words

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stelehq/stele/audit"
)

// Change is a value before and after.
type Change struct {
	// Field is the name of what changed, "" when metadata does not name it.
	Field string
	// Before and After are the values as text; Had and Has say whether there
	// was one at all.
	Before, After string
	Had, Has      bool
	// Removed, Added and Kept are the elements, when both values are lists.
	Removed, Added, Kept []string
	// List says that the values are lists.
	List bool
}

// Same says that nothing changed.
func (c Change) Same() bool { return c.Had == c.Has && c.Before == c.After }

// ChangeSet is what metadata says of what changed.
type ChangeSet struct {
	// Pairs are the values that differ, Same those that do not.
	Pairs, Same []Change
	// Used are the keys of metadata that these came from.
	Used map[string]bool
}

// sides are the words products use for before and after.
var sides = []struct{ before, after string }{ //nolint:gochecknoglobals // a table that is only read
	{"before", "after"}, {"old", "new"}, {"previous", "current"}, {"previous", "new"}, {"prior", "new"}, {"previous", ""}, {"prior", ""}, {"from", "to"}, {"was", "is"},
}

// Changes finds values before and after in metadata: before_x and after_x,
// old_x and new_x, x_from and x_to, previous_x and x, objects {before, after},
// alone, below a field or in a list of changes.
func Changes(meta audit.Metadata) ChangeSet {
	f := finder{meta: meta, set: ChangeSet{Used: map[string]bool{}}}
	f.objects()
	f.flat()
	f.nested()
	sortChanges(f.set.Pairs)
	sortChanges(f.set.Same)
	return f.set
}

func sortChanges(list []Change) {
	slices.SortStableFunc(list, func(a, b Change) int { return strings.Compare(a.Field, b.Field) })
}

type finder struct {
	meta map[string]any
	set  ChangeSet
}

func (f *finder) add(field string, before, after any, had, has bool) {
	c := newChange(field, before, after, had, has)
	if c.Same() {
		f.set.Same = append(f.set.Same, c)
		return
	}
	f.set.Pairs = append(f.set.Pairs, c)
}

// compare adds two values, by their members when both are objects.
func (f *finder) compare(field string, before, after any, had, has bool) {
	b, okB := before.(map[string]any)
	a, okA := after.(map[string]any)
	if !okB && before != nil || !okA && after != nil || !okA && !okB {
		f.add(field, before, after, had, has)
		return
	}
	keys := slices.Collect(maps.Keys(b))
	for k := range a {
		if _, ok := b[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		vb, hadIt := b[k]
		va, hasIt := a[k]
		name := k
		if field != "" {
			name = field + "." + k
		}
		f.compare(name, vb, va, hadIt, hasIt)
	}
}

// objects finds {"before": …, "after": …} at the top.
func (f *finder) objects() {
	for _, s := range sides {
		if s.after == "" || s.before == "was" {
			continue
		}
		b, had := f.meta[s.before]
		a, has := f.meta[s.after]
		_, objB := b.(map[string]any)
		_, objA := a.(map[string]any)
		if f.set.Used[s.before] || f.set.Used[s.after] || (!had || !has) && !objA && !objB {
			continue
		}
		if s.before == "from" && !objA && !objB && !plainChange(scalar(b), scalar(a)) {
			continue // of a message, or of a range of time
		}
		f.compare("", b, a, had, has)
		f.use(s.before, had)
		f.use(s.after, has)
	}
}

func (f *finder) use(key string, there bool) {
	if there {
		f.set.Used[key] = true
	}
}

func plainChange(values ...string) bool {
	for _, v := range values {
		if strings.Contains(v, "@") || len(v) >= 10 && v[4] == '-' && v[7] == '-' {
			return false
		}
	}
	return true
}

// flat finds before_x and after_x in all their spellings, then what has a value
// on one side only.
func (f *finder) flat() {
	for _, alone := range []bool{false, true} {
		for _, key := range sortedKeys(f.meta) {
			for _, s := range sides {
				if !f.set.Used[key] && s.before != "was" && (!alone || s.before == "before") {
					f.spelled(key, s.before, s.after, alone)
				}
			}
		}
	}
}

// spelled adds the pair that a key is one side of, if it is.
func (f *finder) spelled(key, before, after string, alone bool) {
	other, field, isAfter := counterpart(key, before, after)
	theirs, there := f.meta[other]
	if other == "" || there == alone || f.set.Used[other] {
		return
	}
	if before == "from" && !plainChange(scalar(f.meta[key]), scalar(theirs)) {
		return
	}
	if isAfter {
		f.compare(field, theirs, f.meta[key], there, true)
	} else {
		f.compare(field, f.meta[key], theirs, true, there)
	}
	f.use(key, true)
	f.use(other, there)
}

// counterpart returns the key that goes with a key, and what both are about. With
// an empty after, only before_x is one, and x its counterpart.
func counterpart(key, before, after string) (other, field string, isAfter bool) {
	for _, side := range []struct {
		this, that string
		isAfter    bool
	}{{before, after, false}, {after, before, true}} {
		if side.this == "" {
			continue
		}
		for _, sep := range []string{"_", "-", "."} {
			if rest, ok := strings.CutPrefix(key, side.this+sep); ok && rest != "" {
				if side.that == "" {
					return rest, rest, side.isAfter
				}
				return side.that + sep + rest, rest, side.isAfter
			}
			if rest, ok := strings.CutSuffix(key, sep+side.this); ok && rest != "" && side.that != "" {
				return rest + sep + side.that, rest, side.isAfter
			}
		}
		rest, ok := strings.CutPrefix(key, side.this)
		if ok && rest != "" && rest[0] >= 'A' && rest[0] <= 'Z' { // beforeRole
			field := strings.ToLower(rest[:1]) + rest[1:]
			if side.that == "" {
				return field, field, side.isAfter
			}
			return side.that + rest, field, side.isAfter
		}
	}
	return "", "", false
}

// nested finds {"role": {"from": …, "to": …}}, alone and below "changes".
func (f *finder) nested() {
	for _, key := range sortedKeys(f.meta) {
		if f.set.Used[key] {
			continue
		}
		switch v := f.meta[key].(type) {
		case map[string]any:
			if f.pair(key, v) {
				f.use(key, true)
				continue
			}
			if isChanges(key) && f.fields(v) {
				f.use(key, true)
			}
		case []any:
			if isChanges(key) && f.list(v) {
				f.use(key, true)
			}
		}
	}
}

func isChanges(key string) bool {
	switch strings.ToLower(key) {
	case "changes", "diff", "changed", "updates", "changed_fields", "changedattributes", "changed_attributes":
		return true
	}
	return false
}

// pair adds an object that has two sides and nothing else.
func (f *finder) pair(field string, v map[string]any) bool {
	for _, s := range sides {
		if s.after == "" {
			continue
		}
		b, had := v[s.before]
		a, has := v[s.after]
		if (had || has) && len(v) == count(had, has) && (had && has || s.before != "from") {
			f.compare(field, b, a, had, has)
			return true
		}
	}
	return false
}

func count(flags ...bool) int {
	n := 0
	for _, f := range flags {
		if f {
			n++
		}
	}
	return n
}

// fields adds {"role": {"from": …, "to": …}, …} when every member is a pair,
// also as [before, after].
func (f *finder) fields(v map[string]any) bool {
	at := len(f.set.Pairs)
	same := len(f.set.Same)
	for _, k := range sortedKeys(v) {
		ok := false
		switch m := v[k].(type) {
		case map[string]any:
			ok = f.pair(k, m)
		case []any:
			if ok = len(m) == 2; ok {
				f.compare(k, m[0], m[1], m[0] != nil, m[1] != nil)
			}
		}
		if !ok {
			f.set.Pairs, f.set.Same = f.set.Pairs[:at], f.set.Same[:same]
			return false
		}
	}
	return len(v) > 0
}

// list adds [{"field": "role", "old": …, "new": …}, …].
func (f *finder) list(v []any) bool {
	at, same := len(f.set.Pairs), len(f.set.Same)
	for _, item := range v {
		m, ok := item.(map[string]any)
		if ok {
			ok = false
			for _, name := range []string{"field", "name", "key", "attribute", "property", "path"} {
				if field := scalar(m[name]); field != "" {
					rest := maps.Clone(m)
					delete(rest, name)
					ok = f.pair(field, rest)
					break
				}
			}
		}
		if !ok {
			f.set.Pairs, f.set.Same = f.set.Pairs[:at], f.set.Same[:same]
			return false
		}
	}
	return len(v) > 0
}

func newChange(field string, before, after any, had, has bool) Change {
	c := Change{Field: field, Before: Value(before), After: Value(after), Had: had && before != nil, Has: has && after != nil}
	b, okB := elements(field, before)
	a, okA := elements(field, after)
	if !okB || !okA || len(a)+len(b) == 0 {
		return c
	}
	c.List = true
	for _, e := range b {
		if slices.Contains(a, e) {
			c.Kept = append(c.Kept, e)
		} else {
			c.Removed = append(c.Removed, e)
		}
	}
	for _, e := range a {
		if !slices.Contains(b, e) {
			c.Added = append(c.Added, e)
		}
	}
	if len(c.Added) == 0 && len(c.Removed) == 0 && !c.Same() {
		c.List = false // in another order
	}
	return c
}

// elements reads a list: an array, an array written as text, or values with
// commas between under a name that is plural.
func elements(field string, v any) ([]string, bool) {
	switch v := v.(type) {
	case nil:
		return nil, true
	case []any:
		out := make([]string, len(v))
		for i, e := range v {
			out[i] = Value(e)
		}
		return out, true
	case string:
		if list := []any(nil); strings.HasPrefix(v, "[") && json.Unmarshal([]byte(v), &list) == nil {
			return elements(field, list)
		}
		if v == "" {
			return nil, true
		}
		if !strings.HasSuffix(field, "s") {
			return nil, false
		}
		parts := strings.Split(v, ",")
		for i := range parts {
			parts[i] = strings.TrimSpace(parts[i])
		}
		return parts, true
	}
	return nil, false
}

// Value is a value of metadata as text: a string as it is, anything else as JSON.
func Value(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	if v == nil {
		return ""
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(v) != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
