package server

import (
	"crypto/subtle"
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
	if subtle.ConstantTimeCompare([]byte(got), []byte(want)) != 1 {
		return audit.FieldErrorf(audit.CodeForbidden, CSRFField, "this form is not of your session: load the page again")
	}
	return nil
}

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
