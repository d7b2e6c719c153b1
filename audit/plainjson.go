package audit

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// plainJSON reads JSON from left to right, as a server writes it. It is no judge
// of what is JSON: what it reads is written again and held against the text, and
// whatever is not in the one form differs there.
type plainJSON struct {
	text string // what is left
	bad  bool   // something was not what it had to be
}

// parseEntry reads an entry as [Entry.MarshalJSON] writes it, and a line feed.
// Whoever calls it writes the entry again and compares.
func parseEntry(line string) (*Entry, bool) {
	p := plainJSON{text: line}
	e := new(Entry)
	e.ID = p.string(`{"id":`)
	e.OrganizationID = p.string(`,"organization_id":`)
	e.Seq = p.uint(`,"seq":`)
	e.Action = p.string(`,"action":`)
	e.Version = int(p.uint(`,"version":`)) //nolint:gosec // what does not fit is not written the same again
	e.OccurredAt = p.time(`,"occurred_at":`)
	e.ReceivedAt = p.time(`,"received_at":`)
	p.want(`,"actor":`)
	e.Actor = Actor(p.party())
	p.want(`,"targets":[`)
	for !p.bad && !p.skip("]") {
		if len(e.Targets) > 0 {
			p.want(",")
		}
		e.Targets = append(e.Targets, p.party())
	}
	if p.skip(`,"context":`) {
		p.want("{")
		e.Context = Context{p.optional(`"location":`), ""}
		p.skip(",")
		e.Context.UserAgent = p.optional(`"user_agent":`)
		p.want("}")
	}
	if p.skip(`,"metadata":`) {
		e.Metadata = p.object(1)
	}
	if strings.HasPrefix(p.text, `,"erased_at":`) {
		e.ErasedAt = p.time(`,"erased_at":`)
	}
	e.Schema = p.optional(`,"schema":`)
	p.want("}\n")
	return e, !p.bad && p.text == ""
}

// party reads an actor or a target.
func (p *plainJSON) party() Target {
	t := Target{Type: p.string(`{"type":`), ID: p.string(`,"id":`), Name: p.optional(`,"name":`)}
	if p.skip(`,"metadata":`) {
		t.Metadata = p.object(1)
	}
	p.want("}")
	return t
}

// skip goes over what comes next, if it is this.
func (p *plainJSON) skip(next string) bool {
	rest, ok := strings.CutPrefix(p.text, next)
	p.text = rest
	return ok
}

// want goes over what must come next.
func (p *plainJSON) want(next string) { p.bad = !p.skip(next) || p.bad }

// optional reads a string that stands behind a name, if that is there.
func (p *plainJSON) optional(name string) string {
	if strings.HasPrefix(p.text, name) {
		return p.string(name)
	}
	return ""
}

// string reads a string that stands behind other text.
func (p *plainJSON) string(before string) string {
	p.want(before)
	p.want(`"`)
	var made []byte // when something is escaped
	for end := 0; end < len(p.text); end++ {
		switch p.text[end] {
		case '"':
			s := p.text[:end]
			p.text = p.text[end+1:]
			if made == nil {
				return s
			}
			return string(append(made, s...))
		case '\\':
			if made == nil {
				made = make([]byte, 0, min(len(p.text), 512))
			}
			made = append(made, p.text[:end]...)
			p.text = p.text[end+1:]
			made = append(made, p.escaped())
			end = -1
		}
	}
	p.bad = true
	return ""
}

// escaped reads what stands behind a backslash, one of those that must be there.
func (p *plainJSON) escaped() byte {
	if p.skip("u00") && len(p.text) >= 2 {
		c, err := strconv.ParseUint(p.text[:2], 16, 8)
		p.text = p.text[2:]
		p.bad = err != nil || p.bad
		return byte(c)
	}
	i := -1
	if p.text != "" {
		i = strings.IndexByte(`"\btnfr`, p.text[0])
	}
	if i < 0 {
		p.bad = true
		return 0
	}
	p.text = p.text[1:]
	return "\"\\\b\t\n\f\r"[i]
}

// bytes reads base64 that stands behind other text.
func (p *plainJSON) bytes(before string) []byte {
	b, err := base64.StdEncoding.DecodeString(p.string(before))
	p.bad = err != nil || p.bad
	return b
}

// number cuts off a number.
func (p *plainJSON) number() string {
	end := len(p.text) - len(strings.TrimLeft(p.text, "+-.0123456789eE"))
	s := p.text[:end]
	p.text = p.text[end:]
	return s
}

func (p *plainJSON) uint(before string) uint64 {
	p.want(before)
	n, err := strconv.ParseUint(p.number(), 10, 64)
	p.bad = err != nil || p.bad
	return n
}

func (p *plainJSON) time(before string) time.Time {
	t, err := time.Parse(time.RFC3339, p.string(before))
	p.bad = err != nil || p.bad
	return t
}

// value reads any value that is in so many others.
func (p *plainJSON) value(depth int) any {
	switch {
	case p.bad || p.text == "" || depth > maxJSONDepth:
		p.bad = true
	case p.text[0] == '"':
		return p.string("")
	case p.text[0] == '{':
		return p.object(depth + 1)
	case p.skip("["):
		elems := []any{}
		for !p.bad && !p.skip("]") {
			if len(elems) > 0 {
				p.want(",")
			}
			elems = append(elems, p.value(depth+1))
		}
		return elems
	case p.skip("true"):
		return true
	case p.skip("false"):
		return false
	case p.skip("null"):
	default:
		f, err := strconv.ParseFloat(p.number(), 64)
		p.bad = err != nil || p.bad
		return f
	}
	return nil
}

// object reads an object.
func (p *plainJSON) object(depth int) map[string]any {
	members := map[string]any{}
	p.want("{")
	for !p.bad && !p.skip("}") {
		if len(members) > 0 {
			p.want(",")
		}
		key := p.string("")
		p.want(":")
		members[key] = p.value(depth)
	}
	return members
}
