package web_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/catalog"
)

// TestRetention looks at the page as a manager does, of a log with entries and of
// one without.
func TestRetention(t *testing.T) {
	s := openSite(t)
	manager := s.enter(t, "ours", auth.PersonManager, "u_1", "Lisa Karlin")
	manager.get("/retention").want(t, http.StatusOK, "for 365 days", "Oldest entry There is none yet", "The log is empty", "Nobody's opening is recorded yet.")

	s.record(t, "ours", s.plainEvents("api_key.created", 3)...)
	s.record(t, "ours", audit.Event{
		Action: "audit_log.opened", OccurredAt: s.now(), Actor: audit.Actor{Type: "user", ID: "u_7", Name: "<b>Amara</b>"},
		Context: audit.Context{Location: "203.0.113.7"},
	})
	s.record(t, "theirs", audit.Event{Action: "audit_log.opened", OccurredAt: s.now(), Actor: audit.Actor{Type: "user", ID: "u_8", Name: "Somebody else"}})
	p := manager.get("/retention")
	p.want(t, http.StatusOK, "Entry 0, received 2 Mar 2026, 09:30:00 UTC", "Everything received since 2 Mar 2025, 09:30:00 UTC",
		"<b>Amara</b>", "203.0.113.7", "session of 8 hours", "4 entries, the last received 2 Mar 2026",
		s.Ledger.VerifierKey(), s.Ledger.LogVerifierKey("ours"), "stele verify --org 'ours'", "/v1/organizations/ours/log/")
	p.wantNot(t, "Somebody else")

	fields := strings.SplitN(s.Ledger.VerifierKey(), "+", 3) // base 64 may have a plus in it
	raw, err := base64.StdEncoding.DecodeString(fields[2])
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(raw[1:])
	said := strings.ReplaceAll(visible(p.text), " ", "")
	if want := hex.EncodeToString(sum[:]); !strings.Contains(said, want) {
		t.Errorf("the fingerprint %s is not there", want)
	}
}

// TestRetentionForViewers holds that viewers read how long entries are kept, and
// change nothing.
func TestRetentionForViewers(t *testing.T) {
	s := openSite(t)
	viewer := s.enter(t, "ours", auth.PersonViewer, "u_1", "Lisa Karlin")
	p := viewer.get("/retention")
	p.want(t, http.StatusOK, "for 365 days", "Destruction certificates", "stele checkpoint watch")
	p.wantNot(t, "Change…", "Legal holds", "Erasure")
	viewer.get("/retention/checkpoint").want(t, http.StatusOK)
	for _, path := range []string{"/retention/edit", "/holds", "/holds/new", "/erasure", "/erasure/new"} {
		viewer.get(path).want(t, http.StatusForbidden)
	}
	viewer.post("/retention/edit", url.Values{"days": {"30"}, "do": {"save"}}).want(t, http.StatusForbidden)
	viewer.get("/audit-log").want(t, http.StatusOK, "Retention and access")
}

// TestCheckpointFile downloads the checkpoint and checks it as an auditor does.
func TestCheckpointFile(t *testing.T) {
	s := openSite(t)
	s.record(t, "ours", s.plainEvents("api_key.created", 5)...)
	p := s.enter(t, "ours", auth.PersonManager, "u_1", "Lisa Karlin").get("/retention/checkpoint")
	if p.Code != http.StatusOK || p.Header().Get("Content-Disposition") != "attachment; filename=ours-checkpoint.txt" {
		t.Fatalf("%d %v", p.Code, p.Header())
	}
	for _, key := range []string{s.Ledger.VerifierKey(), s.Ledger.LogVerifierKey("ours")} {
		v, err := audit.NewVerifier(key)
		if err != nil {
			t.Fatal(err)
		}
		cp, err := v.Open(p.Body.Bytes())
		if err != nil || cp.Size != 5 || cp.OrganizationID() != "ours" {
			t.Errorf("%+v %v", cp, err)
		}
	}
}

// TestRetentionWords holds how a retention is said.
func TestRetentionWords(t *testing.T) {
	s := openSite(t)
	for days, want := range map[int]string{
		30: "kept for 30 days,", 365: "kept for 365 days,", 730: "kept for 2 years (730 days),", 1000: "kept for 1,000 days,",
		catalog.RetainForever: "kept for as long as the organization exists Legal holds",
	} {
		_, err := s.Catalog.UpdateOrganization(t.Context(), "ours", func(o *catalog.Organization) error {
			o.RetentionDays = days
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		p := s.enter(t, "ours", auth.PersonManager, "u_1", "Lisa")
		p.get("/retention").want(t, http.StatusOK, "Entries are "+want)
	}
}
