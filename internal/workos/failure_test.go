package workos

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/server"
)

// TestFail holds the form of errors that come from elsewhere.
func TestFail(t *testing.T) {
	for code, want := range map[audit.Code]string{
		audit.CodeUnauthorized:     `401 {"message":"Unauthorized"}`,
		audit.CodeForbidden:        `403 {"message":"words"}`,
		audit.CodeLogDisabled:      `403 {"message":"words"}`,
		audit.CodeNotFound:         `404 {"message":"Not Found"}`,
		audit.CodeMethodNotAllowed: `405 {"message":"words"}`,
		audit.CodeConflict:         `409 {"message":"words"}`,
		audit.CodeTooLarge:         `413 {"message":"words"}`,
		audit.CodeInvalidJSON:      `400 {"message":"words"}`,
		audit.CodeRateLimited:      `429 {"message":"Too many requests.","code":"rate_limit_exceeded"}`,
		audit.CodeInternal:         `500 {"message":"Internal Server Error"}`,
		// Not 503 and 507, after which not all SDKs try again.
		audit.CodeOverloaded:  `500 {"message":"words"}`,
		audit.CodeUnavailable: `500 {"message":"words"}`,
		audit.CodeDiskFull:    `500 {"message":"words"}`,
	} {
		err := audit.Errorf(code, "words")
		if got := failed(server.Failure{Status: server.StatusOf(code), Error: err, Cause: err}); got != want {
			t.Errorf("%s: %s, want %s", code, got, want)
		}
	}
	err := audit.FieldErrorf(audit.CodeInvalidRequest, "/domains/0/domain", "is odd")
	if got := failed(server.Failure{Status: 400, Error: err, Cause: err}); got != `400 {"message":"domains.0.domain: is odd"}` {
		t.Errorf("with a field: %s", got)
	}
	own := refuse(418, audit.CodeConflict, "bytes \xff").withCode("odd")
	if got := failed(server.Failure{Status: 409, Error: own.err, Cause: errors.Join(own)}); got != "418 {\"message\":\"bytes \ufffd\",\"code\":\"odd\"}" {
		t.Errorf("an error of the package's own: %s", got)
	}
}

func failed(f server.Failure) string {
	rec := httptest.NewRecorder()
	fail(rec, nil, f)
	return strings.TrimSpace(strings.TrimPrefix(rec.Result().Status, "HTTP/1.1 ")[:3] + " " + rec.Body.String())
}

func TestShort(t *testing.T) {
	if got := short(strings.Repeat("ö", 101)); got != strings.Repeat("ö", 100)+"…" {
		t.Errorf("%q", got)
	}
	if got := short(strings.Repeat("ö", 100)); got != strings.Repeat("ö", 100) {
		t.Errorf("%q", got)
	}
}
