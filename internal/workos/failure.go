package workos

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/schema"
	"github.com/stelehq/stele/internal/server"
)

// contentType is that of every answer: SDKs parse nothing else.
const contentType = "application/json; charset=utf-8"

// codeInvalidLog is WorkOS's code for an event that its schema refuses.
const codeInvalidLog = "invalid_audit_log"

// problem is the body of every error. Message is always a string, and there is
// never a member "error": SDKs would take it for a failure of OAuth.
type problem struct {
	Message string `json:"message"`
	Code    string `json:"code,omitempty"`
	// Errors is left out when nil and written when empty: SDKs tell apart.
	Errors any `json:"errors,omitzero"`
}

// failure is an error in WorkOS's own words. It wraps the one that the log of
// requests shows.
type failure struct {
	status int
	body   problem
	err    *audit.Error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// refuse is a failure that says only what is wrong.
func refuse(status int, code audit.Code, format string, args ...any) *failure {
	err := audit.Errorf(code, format, args...)
	return &failure{status: status, body: problem{Message: err.Message}, err: err}
}

// withCode gives the body a code of WorkOS's.
func (f *failure) withCode(code string) *failure {
	f.body.Code = code
	return f
}

// notFound is a 404.
func notFound(format string, args ...any) *failure {
	return refuse(http.StatusNotFound, audit.CodeNotFound, format, args...)
}

// violated is the answer to an event that does not satisfy its schema or a
// limit of metadata and targets.
func violated(violations []schema.Violation) *failure {
	f := refuse(http.StatusBadRequest, audit.CodeSchemaViolation, "Invalid Audit Log event").withCode(codeInvalidLog)
	f.err.Field = violations[0].InstancePath
	f.body.Errors = violations
	return f
}

// unconfigured is the answer to an event whose action or version has no schema.
// The empty list of errors makes the node SDK throw its BadRequestException.
func unconfigured(action, version string) *failure {
	f := refuse(http.StatusBadRequest, audit.CodeSchemaUnregistered,
		"Invalid Audit Log event: event '%s', version '%s' has not been configured in this environment", short(action), version)
	f.body.Errors = []schema.Violation{}
	return f.withCode(codeInvalidLog)
}

// fault is one thing that is wrong with the structure of a body.
type fault struct {
	// Code says what is wrong in a word, such as "required".
	Code string `json:"code"`
	// Field is where, with dots: "event.targets.0.id".
	Field string `json:"field"`
	// Message says it in words.
	Message string `json:"message"`
}

// The codes of faults.
const (
	faultRequired = "required"
	faultType     = "invalid_type"
	faultValue    = "invalid_value"
)

// invalid is the answer to a body whose structure is wrong, with each fault.
func invalid(faults ...fault) *failure {
	f := refuse(http.StatusUnprocessableEntity, audit.CodeInvalidRequest, "Validation failed.")
	f.err.Field = faults[0].Field
	f.err.Message = faults[0].Message
	f.body.Errors = faults
	return f
}

// unprocessable is invalid for the routes whose answer has a message only: it
// says in words what is wrong.
func unprocessable(faults ...fault) *failure {
	words := make([]string, len(faults))
	for i, f := range faults {
		words[i] = f.Field + " " + f.Message
	}
	return refuse(http.StatusUnprocessableEntity, audit.CodeInvalidRequest, "Validation failed: %s.", strings.Join(words, "; "))
}

// fail answers a failed request.
func fail(w http.ResponseWriter, _ *server.Request, f server.Failure) {
	status, body := render(f)
	_ = answer(w, status, body) // the client is gone: there is nobody to tell
}

// render chooses status and body.
func render(f server.Failure) (int, problem) {
	if own, ok := errors.AsType[*failure](f.Cause); ok {
		return own.status, own.body
	}
	switch f.Error.Code {
	case audit.CodeUnauthorized:
		return http.StatusUnauthorized, problem{Message: "Unauthorized"}
	case audit.CodeNotFound:
		return http.StatusNotFound, problem{Message: "Not Found"}
	case audit.CodeRateLimited:
		return http.StatusTooManyRequests, problem{Message: "Too many requests.", Code: "rate_limit_exceeded"}
	case audit.CodeInternal:
		return http.StatusInternalServerError, problem{Message: "Internal Server Error"}
	case audit.CodeOverloaded, audit.CodeUnavailable, audit.CodeDiskFull:
		// All of them pass, and node SDKs before 10.8 try again after 500,
		// 502 and 504 but not after 503 or 429: then the event would be lost.
		return http.StatusInternalServerError, problem{Message: sentence(f.Error)}
	default:
		return f.Status, problem{Message: sentence(f.Error)}
	}
}

// sentence is an error in one line with the field in front, dotted.
func sentence(err *audit.Error) string {
	if err.Field == "" {
		return err.Message
	}
	return fmt.Sprintf("%s: %s", dotted("", err.Field), err.Message)
}

// dotted turns a JSON pointer into the path of a fault, below a prefix.
func dotted(prefix, pointer string) string {
	path := strings.ReplaceAll(strings.TrimPrefix(pointer, "/"), "/", ".")
	path = strings.NewReplacer("~1", "/", "~0", "~").Replace(path)
	if prefix == "" || path == "" {
		return prefix + path
	}
	return prefix + "." + path
}

// answer writes a JSON answer.
func answer(w http.ResponseWriter, status int, v any) error {
	// A message may quote what the client sent, UTF-8 or not.
	body, err := json.Marshal(v, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, err = w.Write(body)
	return err
}

// short keeps a caller's text at a length that fits an error message.
func short(s string) string {
	const most = 100
	runes := 0
	for i := range s {
		if runes++; runes > most {
			return s[:i] + "…"
		}
	}
	return s
}
