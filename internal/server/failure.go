package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/stelehq/stele/audit"
)

// Failure is an error to be answered.
type Failure struct {
	// Status is the HTTP status for the error's code.
	Status int
	// Error is what may be shown. Never nil.
	Error *audit.Error
	// Cause is what the handler returned, for surfaces with error types of
	// their own (which must wrap an *audit.Error). It must not be shown
	// otherwise.
	Cause error
}

// ErrorWriter answers a failed request: headers, status and body. X-Request-ID,
// Allow, WWW-Authenticate and Retry-After are already set.
type ErrorWriter func(w http.ResponseWriter, r *Request, f Failure)

// StatusOf is the HTTP status for an error code: the one table from codes to
// statuses.
func StatusOf(code audit.Code) int {
	switch code {
	case audit.CodeInvalidJSON, audit.CodeInvalidRequest, audit.CodeInvalidQuery, audit.CodeInvalidCursor:
		return http.StatusBadRequest
	case audit.CodeUnauthorized:
		return http.StatusUnauthorized
	case audit.CodeForbidden, audit.CodeLogInactive, audit.CodeLogDisabled:
		return http.StatusForbidden
	case audit.CodeNotFound:
		return http.StatusNotFound
	case audit.CodeMethodNotAllowed:
		return http.StatusMethodNotAllowed
	case audit.CodeConflict, audit.CodeIdempotencyConflict, audit.CodeNotEmpty:
		return http.StatusConflict
	case audit.CodeGone:
		return http.StatusGone
	case audit.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case audit.CodeUnsupportedMedia:
		return http.StatusUnsupportedMediaType
	case audit.CodeInvalidEvent, audit.CodeUnknownField,
		audit.CodeSchemaViolation, audit.CodeSchemaUnregistered:
		return http.StatusUnprocessableEntity
	case audit.CodeRateLimited:
		return http.StatusTooManyRequests
	case audit.CodeOverloaded, audit.CodeUnavailable:
		return http.StatusServiceUnavailable
	case audit.CodeDiskFull:
		return http.StatusInsufficientStorage
	case audit.CodeInternal:
		return http.StatusInternalServerError
	default:
		return http.StatusInternalServerError
	}
}

// statusError is an error with a status other than its code's.
type statusError struct {
	status int
	err    *audit.Error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// failureOf says how an error is answered.
func failureOf(err error) Failure {
	if shown, ok := errors.AsType[*audit.Error](err); ok && shown.Code != audit.CodeInternal {
		f := Failure{Status: StatusOf(shown.Code), Error: shown, Cause: err}
		if other, ok := errors.AsType[*statusError](err); ok {
			f.Status = other.status
		}
		return f
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return Failure{
			Status: http.StatusServiceUnavailable,
			Error:  audit.Errorf(audit.CodeUnavailable, "the server could not finish in time: try again"),
			Cause:  err,
		}
	}
	return Failure{
		Status: http.StatusInternalServerError,
		Error:  audit.Errorf(audit.CodeInternal, "internal error"),
		Cause:  err,
	}
}

// setHeaders sets the headers that belong to a failure in every form.
func (f *Failure) setHeaders(h http.Header) {
	switch f.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="stele"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if h.Get("Retry-After") == "" {
			h.Set("Retry-After", "1")
		}
	}
	// What the handler said about an answer that does not come.
	for _, name := range []string{"Content-Encoding", "Content-Disposition", "Content-Length", "ETag", "Last-Modified"} {
		h.Del(name)
	}
	h.Set("Cache-Control", "no-store")
}

// problem is an RFC 9457 problem document. Its type is about:blank: the title is
// the status's, and code is what tells problems apart.
type problem struct {
	Type      string         `json:"type"`
	Title     string         `json:"title"`
	Status    int            `json:"status"`
	Detail    string         `json:"detail"`
	Code      audit.Code     `json:"code"`
	Field     string         `json:"field,omitempty"`
	Line      int            `json:"line,omitzero"`
	Errors    []*audit.Error `json:"errors,omitempty"`
	RequestID string         `json:"request_id"`
}

// Problem is the ErrorWriter of the native API: RFC 9457 problem documents.
func Problem(w http.ResponseWriter, r *Request, f Failure) {
	body, err := json.Marshal(problem{
		Type: "about:blank", Title: http.StatusText(f.Status), Status: f.Status,
		Detail: f.Error.Message, Code: f.Error.Code, Field: f.Error.Field, Line: f.Error.Line,
		Errors: f.Error.Errors, RequestID: r.ID,
	}, anyUTF8())
	if err != nil { // nothing in a problem can fail to encode
		http.Error(w, f.Error.Message, f.Status)
		return
	}
	writeBody(w, f.Status, "application/problem+json", append(body, '\n'))
}

// anyUTF8 writes text with what is not UTF-8 replaced: a message may quote what
// the client sent.
func anyUTF8() json.Options { return jsontext.AllowInvalidUTF8(true) }

// WriteJSON answers with v as JSON, whole: nothing is sent when v cannot be
// encoded.
func WriteJSON(w http.ResponseWriter, status int, v any) error {
	var body bytes.Buffer
	if err := json.MarshalWrite(&body, v, json.Deterministic(true)); err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	body.WriteByte('\n')
	writeBody(w, status, "application/json; charset=utf-8", body.Bytes())
	return nil
}

// writeBody sends a whole answer. A client that does not take it is no error of
// the server's.
func writeBody(w http.ResponseWriter, status int, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
