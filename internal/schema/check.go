package schema

import (
	"bytes"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
)

// ok says whether an event satisfies the schema; violations says why not. It
// allocates nothing.
func (c *compiled) ok(ev *event.Event) bool {
	return c.metadata.ok(ev.Metadata) && c.actor.ok(ev.Actor.Metadata) && c.targetsOK(ev.Targets)
}

func (c *compiled) targetsOK(targets []event.Party) bool {
	if len(c.targets) == 0 {
		return true
	}
	var seen [audit.MaxTargets]bool
	types := 0
	for i := range targets {
		n := c.target(targets[i].Type)
		if n < 0 || !c.targets[n].metadata.ok(targets[i].Metadata) {
			return false
		}
		if !seen[n] {
			seen[n] = true
			types++
		}
	}
	return types == len(c.targets)
}

// target returns the place of a declared type in c.targets, or -1.
func (c *compiled) target(name []byte) int {
	for i := range c.targets {
		if c.targets[i].name == string(name) {
			return i
		}
	}
	return -1
}

// ok says whether a canonical object satisfies o; absent is the empty object.
func (o *object) ok(obj []byte) bool {
	if o == nil {
		return true
	}
	// Keys of canonical objects are unique, so counting the required ones
	// suffices.
	missing, good := o.required, true
	event.EachMember(obj, func(key, val []byte) bool {
		m := o.member(key)
		if m == nil {
			return true
		}
		if m.required {
			missing--
		}
		good = m.ok(val)
		return good
	})
	return good && missing == 0
}

func (o *object) member(key []byte) *member {
	if o.byKey != nil {
		return o.byKey[string(key)]
	}
	for i := range o.members {
		if o.members[i].key == string(key) {
			return &o.members[i]
		}
	}
	return nil
}

func (v *value) ok(val []byte) bool {
	if !v.typeOK(val) || !v.enumOK(val) || !v.formatOK(val) {
		return false
	}
	switch {
	case v.object != nil:
		return v.object.ok(val)
	case v.items != nil:
		good := true
		event.EachElement(val, func(elem []byte) bool {
			good = v.items.ok(elem)
			return good
		})
		return good
	default:
		return true
	}
}

func (v *value) typeOK(val []byte) bool {
	switch event.KindOf(val) {
	case event.KindString:
		return v.kind == TypeString
	case event.KindNumber:
		return v.kind == TypeNumber || v.kind == TypeInteger && isInteger(val)
	case event.KindBool:
		return v.kind == TypeBoolean
	case event.KindArray:
		return v.kind == TypeArray
	case event.KindObject:
		return v.kind == TypeObject
	default:
		return false
	}
}

func (v *value) enumOK(val []byte) bool {
	if v.enum == nil {
		return true
	}
	for _, e := range v.enum {
		if bytes.Equal(e, val) {
			return true
		}
	}
	return false
}

func (v *value) formatOK(val []byte) bool {
	return v.valid == nil || v.valid(val[1:len(val)-1])
}

// isInteger says whether a canonical number has no fraction. Canonical numbers
// have an exponent from 1e21 on, where there are no fractions left, and below
// 1e-6, where there is nothing else.
func isInteger(num []byte) bool {
	if e := bytes.IndexByte(num, 'e'); e >= 0 {
		return num[e+1] == '+'
	}
	return bytes.IndexByte(num, '.') < 0
}
