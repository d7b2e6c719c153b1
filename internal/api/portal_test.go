package api

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/schema"
)

// TestPortalLink follows what is asked for into the token.
func TestPortalLink(t *testing.T) {
	var signer *auth.Signer
	h := start(t, schema.ModeOpen, func(d *Deps) { signer = d.Signer })
	for body, want := range map[string]auth.Portal{
		`{}`:                         {Intent: "audit_logs", Role: "viewer"},
		`{"intent":"exports"}`:       {Intent: "exports", Role: "viewer"},
		`{"intent":"log_streams"}`:   {Intent: "log_streams", Role: "manager"},
		`{"role":"manager"}`:         {Intent: "audit_logs", Role: "manager"},
		`{"person":{"id":"u1"}}`:     {Intent: "audit_logs", Role: "viewer", PersonID: "u1"},
		`{"return_url":"http://x/"}`: {Intent: "audit_logs", Role: "viewer", ReturnURL: "http://x/"},
		`{"intent":"audit_logs","role":"viewer","person":{"id":"u1","name":"Zoë"},"return_url":"https://x.y/z?a=b","expires_in":60}`: {
			Intent: "audit_logs", Role: "viewer", PersonID: "u1", PersonName: "Zoë", ReturnURL: "https://x.y/z?a=b",
		},
	} {
		var link struct {
			URL       string
			ExpiresAt time.Time `json:"expires_at"`
		}
		res := h.call("POST", "/v1/organizations/acme/portal-links", body).want(201)
		res.into(&link)
		if got := res.header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("Cache-Control %q", got)
		}
		at, err := url.Parse(link.URL)
		if err != nil || !strings.HasPrefix(link.URL, h.url+"/portal/launch?token=") {
			t.Fatalf("link %q, %v", link.URL, err)
		}
		got, err := signer.VerifyPortal(at.Query().Get("token"))
		if err != nil {
			t.Fatal(err)
		}
		life := time.Until(got.Expires)
		if most := 5 * time.Minute; life > most || life < 50*time.Second || strings.Contains(body, "expires_in") != (life < 2*time.Minute) {
			t.Errorf("%s lives %s", body, life)
		}
		if !link.ExpiresAt.Equal(got.Expires) {
			t.Errorf("%s: says %v, ends %v", body, link.ExpiresAt, got.Expires)
		}
		want.Organization, want.Expires, want.Nonce = "acme", got.Expires, got.Nonce
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", body, diff)
		}
	}
}

// TestPortalLinkFaults names what is wrong.
func TestPortalLinkFaults(t *testing.T) {
	h := start(t, schema.ModeOpen)
	long := strings.Repeat("x", 300)
	for body, field := range map[string]string{
		`{"intent":"sso"}`:                            "/intent",
		`{"role":"admin"}`:                            "/role",
		`{"intent":"log_streams","role":"viewer"}`:    "/role",
		`{"person":{"name":"Ada"}}`:                   "/person/id",
		`{"person":{"id":"` + long + `"}}`:            "/person/id",
		`{"person":{"id":"a\u0000"}}`:                 "/person/id",
		`{"person":{"id":"a","name":"` + long + `"}}`: "/person/name",
		`{"person":{"id":"a","name":"a\u001b[1m"}}`:   "/person/name",
		`{"return_url":"javascript:alert(1)"}`:        "/return_url",
		`{"return_url":"//x.y/"}`:                     "/return_url",
		`{"return_url":"https://x.y/` + strings.Repeat("x", maxReturnURLBytes) + `"}`: "/return_url",
		`{"expires_in":301}`: "/expires_in",
		`{"expires_in":0}`:   "/expires_in",
		`{"expires_in":-1}`:  "/expires_in",
	} {
		if got := h.call("POST", "/v1/organizations/acme/portal-links", body).fails(400, "invalid_request"); got.Field != field {
			t.Errorf("%.80s: %q, want %q", body, got.Field, field)
		}
	}
	h.call("POST", "/v1/organizations/acme/portal-links", `{"lifetime":5}`).fails(422, "unknown_field")
	h.call("POST", "/v1/organizations/nobody/portal-links", `{}`).fails(404, "not_found")
	for _, role := range []auth.Role{auth.RoleReader, auth.RoleWriter} {
		h.call("POST", "/v1/organizations/acme/portal-links", `{}`, withKey(h.key(role, ""))).fails(403, "forbidden")
	}
	h.call("POST", "/v1/organizations/acme/portal-links", `{}`, withKey(h.key(auth.RoleAdmin, "acme"))).want(http.StatusCreated)
	if _, err := h.catalog.UpdateOrganization(t.Context(), "acme", func(o *catalog.Organization) error {
		o.State = catalog.StateInactive
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	h.call("POST", "/v1/organizations/acme/portal-links", `{}`).fails(403, "audit_log_inactive")
}
