package schema

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stelehq/stele/audit"
)

// exampleID is the id of everything in examples: a ULID as a product might use.
const exampleID = "01JD8Q4ZJ5WTVKMX2R7N9C3BHE"

// Example returns an event that satisfies a schema, every known field filled in,
// the same each time for the same schema and time.
func Example(s *Schema, at time.Time) audit.Event {
	ev := audit.Event{
		Action:     s.Action,
		Version:    max(s.Version, 1),
		OccurredAt: at.UTC(),
		Actor:      audit.Actor{Type: "user", ID: exampleID, Name: "Amara Lindqvist"},
		Context:    audit.Context{Location: "203.0.113.7", UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
		Metadata:   exampleObject(s.Metadata),
	}
	if s.Actor != nil {
		ev.Actor.Metadata = exampleObject(userKeys(s.Actor.Metadata))
	}
	for _, t := range s.Targets {
		ev.Targets = append(ev.Targets, audit.Target{
			Type: t.Type, ID: exampleID, Name: sentence(t.Type), Metadata: exampleObject(t.Metadata),
		})
	}
	if len(s.Targets) == 0 {
		kind, _, _ := strings.Cut(s.Action, ".")
		ev.Targets = []audit.Target{{Type: kind, ID: exampleID, Name: sentence(kind)}}
	}
	return ev
}

// userKeys leaves out the optional keys that are named for other types of
// actor, if some are named for users.
func userKeys(p *Property) *Property {
	isUser := func(name string) bool { return strings.HasPrefix(name, "user_") }
	if p == nil || !slices.ContainsFunc(sortedKeys(p.Properties), isUser) {
		return p
	}
	out := *p
	out.Properties = map[string]*Property{}
	for name, v := range p.Properties {
		if isUser(name) || slices.Contains(p.Required, name) {
			out.Properties[name] = v
		}
	}
	return &out
}

func exampleObject(p *Property) map[string]any {
	if p == nil || len(p.Properties) == 0 {
		return nil
	}
	out := make(map[string]any, len(p.Properties))
	for name, v := range p.Properties {
		out[name] = exampleValue(name, v)
	}
	return out
}

func exampleValue(name string, p *Property) any {
	if len(p.Enum) > 0 {
		return p.Enum[0]
	}
	switch p.Type {
	case TypeNumber:
		return 2.5
	case TypeInteger:
		return 3.0
	case TypeBoolean:
		return true
	case TypeArray:
		return exampleArray(name, p.Items)
	case TypeObject:
		if o := exampleObject(p); o != nil {
			return o
		}
		return map[string]any{}
	default:
		return exampleString(name, p.Format)
	}
}

func exampleArray(name string, items *Property) []any {
	if items == nil {
		items = &Property{Type: TypeString}
	}
	return []any{exampleValue(strings.TrimSuffix(name, "s"), items)}
}

// exampleString makes up text of a format or, without one, text that goes with
// the name of the field.
func exampleString(name, format string) string {
	switch format {
	case "date":
		return "2026-03-01"
	case "date-time":
		return "2026-03-01T09:30:00Z"
	case "email":
		return "amara@example.com"
	case "hostname":
		return "status.example.com"
	case "ip", "ipv4":
		return "203.0.113.7"
	case "ipv6":
		return "2001:db8::7"
	case "uri":
		return "https://example.com/runbook"
	case "uuid":
		return "5f0c1b0a-8a3e-4b52-9d5d-3f9f6f6f2c11"
	default:
		return namedString(name)
	}
}

func namedString(name string) string {
	switch {
	case strings.HasSuffix(name, "_at"):
		return "2026-03-01T09:30:00Z"
	case strings.HasSuffix(name, "_id"), strings.HasSuffix(name, "_ids"):
		return exampleID
	case strings.Contains(name, "count"):
		return "3"
	case strings.HasSuffix(name, "enabled"):
		return "true"
	case strings.HasSuffix(name, "role_slug"):
		return "admin"
	case strings.HasSuffix(name, "role_slugs"):
		return "responder,incident_lead"
	default:
		return strings.ReplaceAll(name, "_", " ")
	}
}

// sentence turns "api_key" into "Api key".
func sentence(name string) string {
	words := strings.ReplaceAll(name, "_", " ")
	first, size := utf8.DecodeRuneInString(words)
	return string(unicode.ToUpper(first)) + words[size:]
}
