package schema

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/stelehq/stele/audit"
)

// ParseSchema reads the JSON of one schema and validates it. The version may be
// absent (0, the next one); created_at is ignored. Errors are *audit.Error with a JSON pointer; a key that does not
// exist is one.
func ParseSchema(data []byte) (Schema, error) {
	if len(data) > MaxSchemaBytes {
		return Schema{}, audit.Errorf(audit.CodeTooLarge, "a schema may have %d bytes, this one has %d", MaxSchemaBytes, len(data))
	}
	var s Schema
	if err := unmarshal(data, &s); err != nil {
		return Schema{}, err
	}
	s.CreatedAt = time.Time{}
	if err := s.Validate(); err != nil {
		return Schema{}, err
	}
	return s, nil
}

// unmarshal reads strict JSON: keys that do not exist, or exist twice, are
// errors that say where.
func unmarshal(data []byte, v any) error {
	return readError(data, json.Unmarshal(data, v, json.RejectUnknownMembers(true)))
}

// readError turns an error of the JSON library into one for people.
func readError(data []byte, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return syntaxError(data, e)
	}
	if e, ok := errors.AsType[*json.SemanticError](err); ok {
		return semanticError(data, e)
	}
	return audit.Errorf(audit.CodeInvalidJSON, "cannot be read as JSON: %v", err)
}

func syntaxError(data []byte, e *jsontext.SyntacticError) *audit.Error {
	out := audit.FieldErrorf(audit.CodeInvalidJSON, string(e.JSONPointer), "not valid JSON: %v", e.Err)
	if errors.Is(e.Err, jsontext.ErrDuplicateName) {
		out.Message = "the key occurs twice"
	}
	out.Line = lineOf(data, e.ByteOffset)
	return out
}

func semanticError(data []byte, e *json.SemanticError) *audit.Error {
	path := string(e.JSONPointer)
	out := audit.FieldErrorf(audit.CodeInvalidRequest, path, "cannot be %s here%s", kindWord(e.JSONKind), wanted(e.GoType))
	if errors.Is(e.Err, json.ErrUnknownName) {
		name := unescapePointer(path[strings.LastIndexByte(path, '/')+1:])
		out = audit.FieldErrorf(audit.CodeUnknownField, path, "there is no %q here", name)
	}
	out.Line = lineOf(data, e.ByteOffset)
	return out
}

func wanted(t reflect.Type) string {
	if t == nil {
		return ""
	}
	switch t.Kind() {
	case reflect.String:
		return ", only a string"
	case reflect.Int:
		return ", only a whole number"
	case reflect.Slice:
		return ", only an array"
	case reflect.Map, reflect.Struct, reflect.Pointer:
		return ", only an object"
	case reflect.Bool:
		return ", only true or false"
	default:
		return ""
	}
}

func kindWord(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '"':
		return "a string"
	case '0':
		return "this number"
	case '[':
		return "an array"
	case '{':
		return "an object"
	default:
		return "this"
	}
}

// lineOf returns the line, from 1, of an offset; 0 for data of one line, where
// it says nothing.
func lineOf(data []byte, offset int64) int {
	if bytes.IndexByte(data, '\n') < 0 {
		return 0
	}
	return 1 + bytes.Count(data[:min(max(offset, 0), int64(len(data)))], []byte("\n"))
}

// pointer returns path with one more step, escaped as RFC 6901 has it.
func pointer(path, step string) string {
	return path + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(step)
}

func unescapePointer(step string) string {
	return strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
}
