package workos

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/server"
)

const (
	// maxContacts is how many addresses of IT contacts may be given.
	maxContacts = 20
	// maxReturnURL is the size of an address: it travels in the link's own.
	maxReturnURL = 2048
)

// linkView is the answer: clients open the link without looking into it.
type linkView struct {
	Link string `json:"link"`
}

// generateLink makes a link that opens an organization's portal without a key.
func (w *dropIn) generateLink(rw http.ResponseWriter, r *server.Request) error {
	f, err := readForm(r)
	if err != nil {
		return err
	}
	intent := readIntent(f)
	portal := auth.Portal{
		Organization: f.filled("organization"), Intent: intent, Role: auth.RoleFor(intent),
		ReturnURL: readURL(f, "return_url"),
		Expires:   w.Now().Add(auth.MaxLinkLife).UTC().Truncate(time.Second),
	}
	readURL(f, "success_url") // checked, and not used: nothing in the portal is a success
	readContacts(f)
	if f.failed() {
		return unprocessable(*f.faults...)
	}
	_, err = r.AllowOrg(portal.Organization)
	if errors.Is(err, &audit.Error{Code: audit.CodeNotFound}) {
		return refuse(http.StatusBadRequest, audit.CodeNotFound,
			"Could not find an organization with the id, %s.", short(portal.Organization))
	}
	if err != nil {
		return err
	}
	token, err := w.Signer.SignPortal(portal)
	if err != nil {
		return err
	}
	return answer(rw, http.StatusCreated, linkView{Link: w.PortalURL(token)})
}

// readIntent reads what the portal is to show: of WorkOS's intents, those that
// are about audit logs.
func readIntent(f form) string {
	const logs, streams = auth.IntentAuditLogs, auth.IntentLogStreams
	switch intent := f.text("intent"); intent {
	case "", logs:
		return logs
	case streams:
		return streams
	case "sso", "dsync", "domain_verification", "certificate_renewal", "bring_your_own_key":
		f.fault(faultValue, "intent", "is '"+intent+"', which this server does not offer; it has audit_logs and log_streams")
	default:
		f.fault(faultValue, "intent", "must be audit_logs or log_streams")
	}
	return ""
}

// readURL reads an address to go back to: the portal shows it as a link, so it
// must be one of the web.
func readURL(f form, name string) string {
	text := f.text(name)
	if text == "" {
		return ""
	}
	u, err := url.Parse(text)
	if len(text) > maxReturnURL {
		f.fault(faultValue, name, "may have "+strconv.Itoa(maxReturnURL)+" bytes")
	}
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		f.fault(faultValue, name, "must be an address that begins with https:// or http://")
	}
	return text
}

// readContacts checks the addresses of people to be told, under either name.
// They are not used: this server sends no mail.
func readContacts(f form) {
	for _, name := range []string{"it_contact_emails", "admin_emails"} {
		if len(f.texts(name)) > maxContacts {
			f.fault(faultValue, name, "may have "+strconv.Itoa(maxContacts)+" addresses")
		}
	}
}
