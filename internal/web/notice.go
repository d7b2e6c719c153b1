package web

import (
	"cmp"
	"errors"
	"net/http"
	"strings"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/server"
)

// notice is a page that only says something.
type notice struct {
	Heading string
	// Advice is what it means and what to do, by paragraph.
	Advice []string
	// Back leads to the product, and Retry asks for the same page again; ""
	// when there is no way.
	Back, Retry string
	// Continue leads to a page that is there for the person's session; nil when
	// there is none.
	Continue  *logLink
	RequestID string
}

// product is what to call the product.
func (p *pages) product() string { return cmp.Or(p.Brand.ProductName, "your product") }

// fail answers with a kind page: what happened, what to do, and who can help.
// Scripts that ask for JSON get a problem document.
func (p *pages) fail(w http.ResponseWriter, r *server.Request, f server.Failure) {
	if strings.HasPrefix(r.Header.Get("Accept"), "application/json") {
		server.Problem(w, r, f)
		return
	}
	p.recognize(r)
	n := p.noticeOf(r, f.Error)
	n.RequestID, n.Back = r.ID, p.wayBack(r)
	if f.Status >= http.StatusInternalServerError && r.Method == http.MethodGet {
		n.Retry = r.URL.RequestURI()
	}
	if err := p.show(w, r, "notice", view{Title: n.Heading, Status: f.Status, Data: n}); err != nil {
		http.Error(w, n.Heading, f.Status)
	}
}

// recognize finds the session of someone who asked for a page that is not there, or
// opened a link of their log again, so that they can go on from it.
func (p *pages) recognize(r *server.Request) {
	var only string // the organization that it must be of; "" for any
	switch {
	case r.Session != nil:
		return
	case isSpent(r):
		portal, err := p.Signer.VerifyPortal(r.URL.Query().Get("token"))
		if err != nil && codeOf(err) != audit.CodeGone {
			return
		}
		only = portal.Organization
	case r.Route != nil:
		return
	}
	s, err := p.Sessions.Get(r.Context(), server.SessionOf(r.Request))
	if err != nil || only != "" && s.Organization != only {
		return
	}
	o, err := p.Catalog.Organization(r.Context(), s.Organization)
	if err != nil || o.CheckShow() != nil {
		return
	}
	r.Session, r.Organization = s, o
}

// isSpent says that a link led here that opened nothing.
func isSpent(r *server.Request) bool { return r.Route != nil && r.Route.Pattern == spentPath }

// isLink says that the address has the token of a link.
func isLink(r *server.Request) bool {
	return isSpent(r) || r.Route != nil && r.Route.Pattern == LaunchPath
}

// wayBack is where the person came from: the product's address in the session,
// also one that has ended, or in the link, also one that is good no more.
func (p *pages) wayBack(r *server.Request) string {
	if isLink(r) {
		portal, err := p.Signer.VerifyPortal(r.URL.Query().Get("token"))
		if code := codeOf(err); err == nil || code == audit.CodeGone {
			return safeURL(portal.ReturnURL)
		}
		return ""
	}
	return safeURL(p.Sessions.ReturnURL(r.Context(), server.SessionOf(r.Request)))
}

// noticeOf is what to say about an error.
func (p *pages) noticeOf(r *server.Request, err *audit.Error) notice {
	if isLink(r) {
		if n, ok := p.linkNotice(r, err.Code); ok {
			return n
		}
	}
	switch err.Code {
	case audit.CodeUnauthorized:
		n := notice{Heading: "Your session has ended", Advice: []string{"Sessions end after some hours, and when you sign out.", p.newLink()}}
		if embedded(r) {
			n.Advice = append(n.Advice, "If you have only just opened it, your browser keeps no cookies for pages inside other pages: open the audit log in a window of its own.")
		}
		return n
	case audit.CodeLogInactive:
		return notice{Heading: "The audit log is not switched on", Advice: []string{
			"What happens in your organization is recorded, and will be there when the log is switched on.",
			"Ask an administrator of your organization, or the support of " + p.product() + ".",
		}}
	case audit.CodeNotFound:
		return missing(r)
	case audit.CodeForbidden:
		return p.forbidden(err)
	case audit.CodeInternal, audit.CodeUnavailable, audit.CodeOverloaded:
		return notice{Heading: "Something went wrong on our side", Advice: []string{
			"Nothing is lost. Try again in a moment. If it goes on, give the support of " + p.product() + " the request id below.",
		}}
	}
	return notice{Heading: "This did not work", Advice: []string{sentence(err.Message)}}
}

// missing is what to say to somebody who asked for what is not there: the same
// whether it is gone, of another organization or never was.
func missing(r *server.Request) notice {
	n := notice{Heading: "There is nothing here", Advice: []string{"The address may be mistyped, or what it named may be gone or another organization's."}}
	if r.Session == nil {
		return n
	}
	n.Continue = &logLink{Text: "Go to the audit log", URL: Base + "/audit-log"}
	if r.Route == nil || r.PathValue("id") == "" {
		return n
	}
	switch section, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, Base+"/"), "/"); section {
	case "exports":
		n.Heading = "This export is not here"
		n.Advice = []string{"It may have been canceled, or its time may be over. The address may also be mistyped, or another organization's."}
		n.Continue = &logLink{Text: "Go to all exports", URL: Base + "/exports"}
	case streamsSection:
		n.Heading = "This log stream is not here"
		n.Advice = []string{"It may have been deleted. The address may also be mistyped, or another organization's."}
		n.Continue = &logLink{Text: "Go to all log streams", URL: streamsPath}
	}
	return n
}

// newLink says where links come from.
func (p *pages) newLink() string {
	return "Go back to " + p.product() + " and open the audit log there: it makes a new link."
}

// linkNotice is what to say about a link that did not open.
func (p *pages) linkNotice(r *server.Request, code audit.Code) (notice, bool) {
	if r.Session != nil && (code == audit.CodeGone || code == audit.CodeConflict) {
		return spentNotice(r.Session, code), true
	}
	give := "If you have no access there, ask an administrator of your organization: links are made for one person, who must not pass them on."
	switch code {
	case audit.CodeGone:
		return notice{Heading: "This link has expired", Advice: []string{
			"A link must be opened within minutes, so that an old one is worth nothing to whoever finds it.", p.newLink(), give,
		}}, true
	case audit.CodeConflict:
		return notice{Heading: "This link was already used", Advice: []string{
			"Each link opens once. If it was you who opened it, the page may still be there in another tab; if it was not, tell an administrator: the audit log shows who opened it.",
			p.newLink(),
		}}, true
	case audit.CodeForbidden:
		return notice{Heading: "This link does not work", Advice: []string{
			"It is not complete, or was changed on the way.", p.newLink(), give,
		}}, true
	case audit.CodeNotFound:
		return notice{Heading: "This link opens nothing any more", Advice: []string{
			"The organization that it was made for is no longer there.", "Ask the support of " + p.product() + ".",
		}}, true
	}
	return notice{}, false
}

// spentNotice is what to say about a link that was used or has expired to whoever
// has a session of its organization in this browser, and so needs no link.
func spentNotice(s *auth.Session, code audit.Code) notice {
	open := "You need no new one: the audit log is open in this browser"
	if s.PersonName != "" {
		open += ", as " + s.PersonName
	}
	page := firstPage(s)
	words := map[string]string{"audit-log": "audit log", "exports": "exports", "log-streams": "log streams"}
	n := notice{Continue: &logLink{Text: "Continue to the " + words[page], URL: Base + "/" + page}}
	if code == audit.CodeGone {
		n.Heading = "This link has expired"
		n.Advice = []string{"A link must be opened within minutes, so that an old one is worth nothing to whoever finds it.", open + "."}
		return n
	}
	n.Heading = "This link was already used"
	n.Advice = []string{
		"Each link opens once. " + open + ".",
		"If it was not you who opened the link, tell an administrator: the audit log shows who did.",
	}
	return n
}

func (p *pages) forbidden(err *audit.Error) notice {
	if err.Field == server.CSRFField {
		return notice{Heading: "This form is out of date", Advice: []string{
			"It was sent from a page of another session, so nothing was changed. Go back, load the page again, and send it once more.",
		}}
	}
	return notice{Heading: "You cannot open this", Advice: []string{
		sentence(err.Message), "Who may do what is decided in " + p.product() + ": ask an administrator of your organization there.",
	}}
}

// sentence is a message of an error as people write.
func sentence(message string) string {
	if message == "" {
		return ""
	}
	return strings.ToUpper(message[:1]) + strings.TrimSuffix(message[1:], ".") + "."
}

// insideSentence is a label as it stands in the middle of one.
func insideSentence(label string) string { return strings.ToLower(label[:1]) + label[1:] }

// codeOf is the code of an error that may be shown; "" of others.
func codeOf(err error) audit.Code {
	if shown, ok := errors.AsType[*audit.Error](err); ok {
		return shown.Code
	}
	return ""
}
