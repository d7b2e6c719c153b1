package audit

import (
	"fmt"
	"strings"
)

// Code is the stable name of a kind of error. Programs branch on it; its text
// never changes.
type Code string

// The codes of errors a caller may see.
const (
	CodeInvalidJSON         Code = "invalid_json"         // not JSON, or not the JSON asked for
	CodeInvalidRequest      Code = "invalid_request"      // a parameter, header or field is wrong
	CodeInvalidEvent        Code = "invalid_event"        // an event's field is missing, wrong or over a limit
	CodeUnknownField        Code = "unknown_field"        // a field that does not exist
	CodeTooLarge            Code = "too_large"            // over a limit of size or count
	CodeSchemaViolation     Code = "schema_violation"     // the event does not satisfy its action's schema
	CodeSchemaUnregistered  Code = "schema_unregistered"  // the action or version is not registered and the server is strict
	CodeInvalidQuery        Code = "invalid_query"        // a filter cannot be read
	CodeInvalidCursor       Code = "invalid_cursor"       // a cursor is damaged or belongs to another query
	CodeUnauthorized        Code = "unauthorized"         // no key, or one that is not known
	CodeForbidden           Code = "forbidden"            // the key may not do this
	CodeLogInactive         Code = "audit_log_inactive"   // the organization's log is recorded but hidden
	CodeLogDisabled         Code = "audit_log_disabled"   // the organization's log takes no events
	CodeNotFound            Code = "not_found"            // no such thing, or none that the caller may know of
	CodeMethodNotAllowed    Code = "method_not_allowed"   // the path exists, the method does not
	CodeConflict            Code = "conflict"             // it exists already, or changed meanwhile
	CodeIdempotencyConflict Code = "idempotency_conflict" // the key was used with another body
	CodeNotEmpty            Code = "not_empty"            // the organization still holds entries
	CodeGone                Code = "gone"                 // it existed and is expired or removed
	CodeUnsupportedMedia    Code = "unsupported_media"    // Content-Type or Content-Encoding is not known
	CodeRateLimited         Code = "rate_limited"         // too many requests
	CodeOverloaded          Code = "overloaded"           // the server cannot take more now; retry
	CodeDiskFull            Code = "disk_full"            // the server's disk is full; reads still work
	CodeUnavailable         Code = "unavailable"          // the server cannot commit now; retry
	CodeInternal            Code = "internal"             // a fault of the server's; the log has it by request id
)

// Error is an error its reader may see: what is wrong, where, and what to do.
// Every error of the API that is not "internal" is one.
type Error struct {
	// Code is the stable name of the kind of error.
	Code Code `json:"code"`
	// Message says what is wrong and what to do, in a sentence.
	Message string `json:"message"`
	// Field is where, as a JSON pointer (RFC 6901) into the event or body,
	// such as "/targets/0/type", or the name of a parameter. Empty when it is
	// the whole.
	Field string `json:"field,omitempty"`
	// Line is which line (NDJSON) or element (array), from 1; 0 when it is
	// not about one.
	Line int `json:"line,omitzero"`
	// Errors are the single faults when there are several.
	Errors []*Error `json:"errors,omitempty"`

	// Status and RequestID are set by [Client]: the status of the answer, and
	// the id under which the server's log has the request.
	Status    int    `json:"-"`
	RequestID string `json:"-"`
}

// Errorf makes an Error without a field or line.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// FieldErrorf makes an Error about one field.
func FieldErrorf(code Code, field, format string, args ...any) *Error {
	return &Error{Code: code, Field: field, Message: fmt.Sprintf(format, args...)}
}

// Error gives line, field and message in one line.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", e.Line)
	}
	if e.Field != "" {
		fmt.Fprintf(&b, "%s: ", e.Field)
	}
	b.WriteString(e.Message)
	return b.String()
}

// Is makes errors.Is(err, &Error{Code: c}) true for any error of that code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && t.Message == ""
}
