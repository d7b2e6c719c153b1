package server

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"mime"
	"net/http"

	"github.com/stelehq/stele/audit"
)

const (
	// SessionCookie is the name of the cookie that holds a person's session.
	SessionCookie = "stele_session"
	// CSRFField is the field of every form that holds the session's CSRF text.
	CSRFField = "csrf"
	// CSRFHeader is the same for what scripts send.
	CSRFHeader = "X-CSRF-Token"
	// maxFormBytes bounds the body of a form.
	maxFormBytes = 1 << 20
)

// sameOrigin refuses what other sites make browsers send. Behind a proxy the
// Host header may not be what the browser knows, so the public address counts
// too.
func sameOrigin(publicURL string) *http.CrossOriginProtection {
	p := http.NewCrossOriginProtection()
	if publicURL != "" {
		if err := p.AddTrustedOrigin(publicURL); err != nil {
			panic("server: public URL: " + err.Error())
		}
	}
	return p
}

// authorizeSession keeps an Access that needs a session.
func (s *Server) authorizeSession(r *Request) error {
	session, err := s.cfg.Sessions.Get(r.Context(), SessionOf(r.Request))
	if err != nil {
		return err
	}
	o, err := s.cfg.Catalog.Organization(r.Context(), session.Organization)
	if errors.Is(err, &audit.Error{Code: audit.CodeNotFound}) {
		return audit.Errorf(audit.CodeUnauthorized, "the session's organization is gone")
	}
	if err != nil {
		return err
	}
	if err := o.CheckShow(); err != nil {
		return err
	}
	// Known from here on, so that a refusal looks like a page of theirs.
	r.Session, r.Organization = session, o
	if err := r.Route.Access.AllowSession(session); err != nil {
		return err
	}
	return s.checkIntended(r, session.CSRF())
}

// SessionOf is the session cookie of a request; "" without.
func SessionOf(r *http.Request) string {
	c, err := r.Cookie(SessionCookie)
	if err != nil {
		return ""
	}
	return c.Value
}

// checkIntended refuses a change that another site may have made the person's
// browser send.
func (s *Server) checkIntended(r *Request, want string) error {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return nil
	}
	if err := s.origins.Check(r.Request); err != nil {
		return audit.Errorf(audit.CodeForbidden, "this was sent from another site")
	}
	got, err := csrfOf(r)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare([]byte(unmaskCSRF(got)), []byte(want)) != 1 {
		return audit.FieldErrorf(audit.CodeForbidden, CSRFField, "this form is not of your session: load the page again")
	}
	return nil
}

// MaskCSRF is a session's CSRF text as pages carry it: another text each time. A
// page that is compressed together with what its address said would otherwise
// tell, by its length, a secret that is always the same (BREACH).
func MaskCSRF(text string) string {
	n := len(text)
	masked := make([]byte, 2*n)
	_, _ = rand.Read(masked[:n]) // never fails
	subtle.XORBytes(masked[n:], masked[:n], []byte(text))
	return base64.RawURLEncoding.EncodeToString(masked)
}

// unmaskCSRF is the text that was masked; what was not masked stays as it is and
// is compared like that.
func unmaskCSRF(masked string) string {
	b, err := base64.RawURLEncoding.DecodeString(masked)
	if n := len(b) / 2; err == nil && len(b) == 2*n && len(masked) > maskedFrom {
		text := make([]byte, n)
		subtle.XORBytes(text, b[:n], b[n:])
		return string(text)
	}
	return masked
}

// maskedFrom is longer than any text that is not masked.
const maskedFrom = 64

// csrfOf is the CSRF text of the header, or of the form.
func csrfOf(r *Request) (string, error) {
	if text := r.Header.Get(CSRFHeader); text != "" {
		return text, nil
	}
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if media != "application/x-www-form-urlencoded" {
		return "", nil
	}
	r.Body = http.MaxBytesReader(r.writer, r.Body, maxFormBytes)
	if err := r.ParseForm(); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return "", audit.Errorf(audit.CodeTooLarge, "a form may have %d bytes", maxFormBytes)
		}
		return "", audit.Errorf(audit.CodeInvalidRequest, "the form cannot be read")
	}
	return r.PostForm.Get(CSRFField), nil
}
