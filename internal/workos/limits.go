package workos

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/stelehq/stele/internal/schema"
)

// WorkOS's limits of an event, narrower than those of the log.
const (
	maxTargets       = 20
	maxMetadataKeys  = 50
	maxMetadataValue = 500 // characters of a string
)

// metadataKey is what a key of metadata may look like.
var metadataKey = regexp.MustCompile(`^[a-zA-Z0-9_-]{0,40}$`)

// limiter checks an event against the limits and says what it finds as the
// validator of WorkOS does, AJV.
type limiter struct {
	violations []schema.Violation
}

func (l *limiter) add(at, schemaPath, keyword string, params map[string]any, message string) {
	l.violations = append(l.violations, schema.Violation{
		InstancePath: at, SchemaPath: "#" + schemaPath + "/" + keyword, Keyword: keyword, Params: params, Message: message,
	})
}

func (l *limiter) targets(n int) {
	if n > maxTargets {
		l.add("/targets", "/properties/targets", "maxItems", map[string]any{"limit": maxTargets},
			"must NOT have more than "+strconv.Itoa(maxTargets)+" items")
	}
}

// metadata checks one metadata object. at and schemaPath say where it is in the
// event and in its schema.
func (l *limiter) metadata(obj form, at, schemaPath string) {
	if len(obj.members) > maxMetadataKeys {
		l.add(at, schemaPath, "maxProperties", map[string]any{"limit": maxMetadataKeys},
			"must NOT have more than "+strconv.Itoa(maxMetadataKeys)+" properties")
		return
	}
	for _, key := range sortedKeys(obj.members) {
		if !metadataKey.MatchString(key) {
			l.add(at, schemaPath+"/propertyNames", "pattern", map[string]any{"pattern": metadataKey.String()},
				`property name '`+short(key)+`' must match pattern "`+metadataKey.String()+`"`)
			continue
		}
		l.value(obj.members[key], at+"/"+key, schemaPath+"/additionalProperties")
	}
}

func (l *limiter) value(v jsontext.Value, at, schemaPath string) {
	switch v.Kind() {
	case 't', 'f', '0':
	case '"':
		if utf8.RuneCountInString(unquote(v)) > maxMetadataValue {
			l.add(at, schemaPath, "maxLength", map[string]any{"limit": maxMetadataValue},
				"must NOT have more than "+strconv.Itoa(maxMetadataValue)+" characters")
		}
	default:
		types := []string{"string", "number", "boolean"}
		l.add(at, schemaPath, "type", map[string]any{"type": types}, "must be "+strings.Join(types, ","))
	}
}
