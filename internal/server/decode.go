package server

import (
	"errors"
	"io"
	"mime"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/stelehq/stele/audit"
)

// MaxJSONBytes bounds the bodies that DecodeJSON reads.
const MaxJSONBytes = 256 << 10

// DecodeJSON reads a body of at most MaxJSONBytes into v, strictly: unknown and
// repeated members, invalid UTF-8 and trailing data are errors. Errors name the
// member as a JSON pointer: invalid_json, unknown_field, invalid_request for a
// value of the wrong type, unsupported_media for a Content-Type that is not
// JSON, and those of ReadBody.
func DecodeJSON(r *Request, v any) error { return decodeJSON(r, v, json.RejectUnknownMembers(true)) }

// DecodeJSONOpen is DecodeJSON which ignores unknown members.
func DecodeJSONOpen(r *Request, v any) error { return decodeJSON(r, v) }

func decodeJSON(r *Request, v any, opts ...json.Options) error {
	if !isJSON(r.Header.Get("Content-Type")) {
		return audit.FieldErrorf(audit.CodeUnsupportedMedia, "Content-Type", "must be application/json")
	}
	body, err := ReadBody(r, MaxJSONBytes)
	if err != nil {
		return err
	}
	return decode(body, v, opts...)
}

// isJSON says whether a Content-Type is JSON. A missing one is taken for it.
func isJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || strings.HasSuffix(media, "+json"))
}

// DecodeBytes is DecodeJSON for a body that is already read.
func DecodeBytes(data []byte, v any) error { return decode(data, v, json.RejectUnknownMembers(true)) }

func decode(data []byte, v any, opts ...json.Options) error {
	err := json.Unmarshal(data, v, opts...)
	if err == nil {
		return nil
	}
	if shown, ok := errors.AsType[*audit.Error](err); ok {
		return shown // of a type that reads itself
	}
	if bad, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return syntaxError(bad)
	}
	if bad, ok := errors.AsType[*json.SemanticError](err); ok {
		return semanticError(bad)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return audit.Errorf(audit.CodeInvalidJSON, "the body is empty or ends early")
	}
	return audit.Errorf(audit.CodeInvalidJSON, "the body is not JSON")
}

func syntaxError(bad *jsontext.SyntacticError) *audit.Error {
	switch {
	case errors.Is(bad.Err, jsontext.ErrDuplicateName):
		return audit.FieldErrorf(audit.CodeInvalidJSON, string(bad.JSONPointer), "is given twice")
	case errors.Is(bad.Err, io.ErrUnexpectedEOF), errors.Is(bad.Err, io.EOF):
		return audit.Errorf(audit.CodeInvalidJSON, "the body is empty or ends early")
	}
	return audit.FieldErrorf(audit.CodeInvalidJSON, string(bad.JSONPointer),
		"is not valid JSON at byte %d: %v", bad.ByteOffset, bad.Err)
}

func semanticError(bad *json.SemanticError) *audit.Error {
	field := string(bad.JSONPointer)
	if errors.Is(bad.Err, json.ErrUnknownName) {
		return audit.FieldErrorf(audit.CodeUnknownField, field, "there is no such field")
	}
	return audit.FieldErrorf(audit.CodeInvalidRequest, field, "must be %s", wanted(bad.GoType))
}

// wanted says what JSON a Go type is read from.
func wanted(t reflect.Type) string {
	if t == nil {
		return "another value"
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.PkgPath() == "time" && t.Name() == "Time" {
		return "a time as in RFC 3339, with a zone"
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number in range"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Map, reflect.Struct:
		return "an object"
	default:
		return "another value"
	}
}
