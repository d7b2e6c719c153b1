package web

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/retention"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/server"
)

const (
	retentionSection = "retention"
	// recentOpenings is how many openings of the log the page names.
	recentOpenings = 10
	// certificatesPerPage is how many certificates one page lists.
	certificatesPerPage = 10
)

// settingRoutes are open to viewers but for what changes something: who reads the
// log may know how long it is kept, and verify it.
func (p *pages) settingRoutes() []server.Route {
	person, managers := auth.Person(), auth.Managers()
	return []server.Route{
		get("page.retention", retentionSection, person, p.showRetention),
		get("page.retention.checkpoint", retentionSection+"/checkpoint", person, p.downloadCheckpoint),
		get("page.retention.certificate", retentionSection+"/certificates/{id}", person, p.downloadCertificate),
		get("page.retention.edit", retentionSection+"/edit", managers, p.editRetention),
		post("page.retention.update", retentionSection+"/edit", managers, p.updateRetention),
	}
}

// retentionPage is what retention.html shows.
type retentionPage struct {
	Said string
	// Kept is how long entries are kept, in words; Forever says that it is for
	// ever.
	Kept    string
	Forever bool
	// Classes are kept for another time.
	Classes []keptClass
	// Holds is how many legal holds are in force; it is not for viewers.
	Holds        int
	HistoryStart time.Time
	// Oldest is the first entry that is shown; nil when none is.
	Oldest *oldestEntry
	// KeptSince is from when on every entry is kept still; zero when all are.
	KeptSince time.Time
	Through   *audit.Position

	Certificates []certificateRow
	// LaterCertificates says that those are not the first; OlderCertificates leads
	// to the next.
	LaterCertificates bool
	OlderCertificates string
	VerifyCertificate string

	Openings    []openedRow
	OpeningsURL string
	// SessionLife is how long somebody stays signed in, in words.
	SessionLife string

	Keys       logKeys
	Checkpoint logCheckpoint
	// VerifyLog, VerifyAgain and WatchLog are commands for a shell.
	VerifyLog, VerifyAgain, WatchLog string
	TilesURL                         string
}

// keptClass is a class of actions with a period of its own.
type keptClass struct{ Pattern, Kept, LogURL string }

// certificateRow is a destruction certificate in the list.
type certificateRow struct {
	At time.Time
	// From to Last is the range that entries were removed from.
	From, Last, Removed, Held uint64
	Policy, Path, File        string
}

type oldestEntry struct {
	Path       string
	Seq        uint64
	ReceivedAt time.Time
}

// openedRow is that somebody opened the log.
type openedRow struct {
	Path, Who, WhoID, Location string
	At                         time.Time
}

// logKeys are the public keys of a log.
type logKeys struct {
	// Server verifies every log of the server, Log this one: the same key
	// under two names.
	Server, Log string
	// Fingerprint is the SHA-256 of the public key.
	Fingerprint string
}

// logCheckpoint is the newest signed state of a log.
type logCheckpoint struct {
	audit.Checkpoint
	Path string
}

func (p *pages) showRetention(w http.ResponseWriter, r *server.Request) error {
	o := r.Organization
	page := retentionPage{
		Kept: retentionWords(o.RetentionDays), Forever: o.RetentionDays == catalog.RetainForever,
		HistoryStart: o.HistoryStart, SessionLife: lifeWords(r.Session.ExpiresAt.Sub(r.Session.CreatedAt)),
		TilesURL: p.PublicURL + "/v1/organizations/" + url.PathEscape(o.ID) + "/log/",
	}
	if r.URL.Query().Get("done") == "saved" {
		page.Said = "The retention is changed. What is past its time is hidden from now on."
	}
	for _, step := range []func(*server.Request, *retentionPage) error{p.fillKept, p.fillLog, p.fillCertificates, p.fillOpenings, p.fillKeys} {
		if err := step(r, &page); err != nil {
			return err
		}
	}
	return p.show(w, r, "retention", view{
		Title: "Retention and access", Section: retentionSection, Data: page, Scripts: []string{"js/copy.js"},
	})
}

// fillKept says what is kept for how long, and from when on everything is there.
func (p *pages) fillKept(r *server.Request, page *retentionPage) error {
	for _, a := range r.Organization.RetentionActions {
		page.Classes = append(page.Classes, keptClass{a.Pattern, periodWords(a.Days), logURL(ofAction(a.Pattern))})
	}
	for _, c := range r.Organization.RetentionClasses() {
		cut := c.Cut(p.Now())
		if c.Days == catalog.RetainForever && cut.Before(r.Organization.CreatedAt) {
			continue // nothing was there then
		}
		if cut.After(page.KeptSince) {
			page.KeptSince = cut
		}
	}
	if !r.Session.Manager() {
		return nil
	}
	holds, err := p.Retention.Holds(r.Context(), r.Organization.ID)
	for _, h := range holds {
		if h.State(p.Now()) == retention.HoldActive {
			page.Holds++
		}
	}
	return err
}

// fillLog says where the log begins, of what is shown, and stands.
func (p *pages) fillLog(r *server.Request, page *retentionPage) error {
	org := r.Organization.ID
	var err error
	if page.Through, err = p.Ledger.Through(r.Context(), org); err != nil || page.Through == nil {
		return err
	}
	first, err := p.Engine.First(r.Context(), org)
	if err != nil || first > page.Through.Seq {
		return err
	}
	e, err := p.Ledger.EntryAt(r.Context(), org, first)
	if err != nil {
		return err
	}
	page.Oldest = &oldestEntry{Path: entriesPath + e.ID.String(), Seq: e.Seq, ReceivedAt: e.ReceivedTime()}
	return nil
}

// fillCertificates lists what was removed.
func (p *pages) fillCertificates(r *server.Request, page *retentionPage) error {
	before := r.URL.Query().Get("certificates")
	list, more, err := p.Retention.Certificates(r.Context(), r.Organization.ID, before, certificatesPerPage)
	if err != nil {
		return err
	}
	page.LaterCertificates = before != ""
	for _, c := range list {
		page.Certificates = append(page.Certificates, certificateRow{
			At: c.CreatedAt, From: c.FromSeq, Last: max(c.ToSeq, 1) - 1, Removed: c.Removed, Held: c.Held, Policy: c.Policy,
			Path: retentionPath + "/certificates/" + url.PathEscape(c.ID), File: certificateFile(c),
		})
	}
	if more {
		page.OlderCertificates = retentionPath + "?certificates=" + url.QueryEscape(list[len(list)-1].ID) + "#certificates"
	}
	if len(list) > 0 {
		page.VerifyCertificate = "stele verify " + shellWord(certificateFile(list[0])) + " \\\n  --vkey " + shellWord(p.Ledger.VerifierKey())
	}
	return nil
}

func certificateFile(c *retention.Certificate) string {
	return c.Organization + "-" + c.ID + ".txt"
}

// downloadCertificate gives a destruction certificate as a file.
func (p *pages) downloadCertificate(w http.ResponseWriter, r *server.Request) error {
	c, err := p.Retention.Certificate(r.Context(), r.Organization.ID, r.PathValue("id"))
	if err != nil {
		return err
	}
	return p.sendNote(w, certificateFile(c), c.Note)
}

// fillOpenings names who opened the log last.
func (p *pages) fillOpenings(r *server.Request, page *retentionPage) error {
	q := ofAction(actionOpened)
	page.OpeningsURL = logURL(q)
	found, err := p.Engine.Search(r.Context(), r.Organization.ID, search.Request{Query: q, Limit: recentOpenings})
	if err != nil {
		return err
	}
	for _, e := range found.Entries {
		page.Openings = append(page.Openings, openedRow{
			Path: entriesPath + e.ID.String(), Who: string(e.Actor.Name), WhoID: string(e.Actor.ID),
			Location: string(e.Location), At: e.OccurredTime(),
		})
	}
	return nil
}

// fillKeys gives what the log is verified with.
func (p *pages) fillKeys(r *server.Request, page *retentionPage) error {
	org := r.Organization.ID
	page.Keys = logKeys{Server: p.Ledger.VerifierKey(), Log: p.Ledger.LogVerifierKey(org)}
	var err error
	if page.Keys.Fingerprint, err = fingerprint(page.Keys.Server); err != nil {
		return err
	}
	signed, err := p.Ledger.Checkpoint(r.Context(), org)
	if err != nil {
		return err
	}
	text, _, _ := strings.Cut(string(signed), "\n\n")
	verify := "stele verify --org " + shellWord(org) + " \\\n  --vkey " + shellWord(page.Keys.Server)
	page.VerifyLog = "export STELE_SERVER=" + shellWord(p.PublicURL) + " STELE_API_KEY=…\n" + verify + " \\\n  --save checkpoint.txt"
	page.VerifyAgain = verify + " \\\n  --checkpoint checkpoint.txt --save checkpoint.txt"
	page.WatchLog = "stele checkpoint watch --org " + shellWord(org) + " \\\n  --vkey " + shellWord(page.Keys.Server) + " --save checkpoints"
	page.Checkpoint.Path = retentionPath + "/checkpoint"
	page.Checkpoint.Checkpoint, err = audit.ParseCheckpoint(text + "\n")
	return err
}

// fingerprint is the SHA-256 of the public key in a verifier key, in groups that
// can be read aloud. The name and the hash before it are left out: it is the
// same for every name of the key.
func fingerprint(vkey string) (string, error) {
	fields := strings.SplitN(vkey, "+", 3)
	data, err := base64.StdEncoding.DecodeString(fields[len(fields)-1])
	if err != nil || len(data) < 2 {
		return "", fmt.Errorf("read verifier key: %q", vkey)
	}
	sum := sha256.Sum256(data[1:]) // the first byte is the algorithm
	var groups []string
	for text := hex.EncodeToString(sum[:]); text != ""; text = text[4:] {
		groups = append(groups, text[:4])
	}
	return strings.Join(groups, " "), nil
}

// shellWord quotes a text for a shell: it is one word there, whatever it holds.
func shellWord(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// downloadCheckpoint gives the newest checkpoint as a file, to be kept elsewhere.
func (p *pages) downloadCheckpoint(w http.ResponseWriter, r *server.Request) error {
	signed, err := p.Ledger.Checkpoint(r.Context(), r.Organization.ID)
	if err != nil {
		return err
	}
	return p.sendNote(w, r.Organization.ID+"-checkpoint.txt", signed)
}

// sendNote answers with a signed text as a file, to be kept elsewhere.
func (p *pages) sendNote(w http.ResponseWriter, name string, signed []byte) error {
	h := w.Header()
	p.protect(h)
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	h.Set("Content-Length", strconv.Itoa(len(signed)))
	_, err := w.Write(signed)
	return err
}

// retentionWords is how long entries are kept.
func retentionWords(days int) string {
	switch {
	case days == catalog.RetainForever:
		return "for as long as the organization exists"
	case days%365 == 0 && days > 365:
		return fmt.Sprintf("for %d years (%s days)", days/365, thousands(days))
	default:
		return fmt.Sprintf("for %s days", thousands(days))
	}
}

// lifeWords is a length of time in whole hours, or minutes where it has some.
func lifeWords(d time.Duration) string {
	d = d.Round(time.Minute)
	switch {
	case d == time.Hour:
		return "1 hour"
	case d%time.Hour == 0:
		return strconv.Itoa(int(d/time.Hour)) + " hours"
	default:
		return strconv.Itoa(int(d/time.Minute)) + " minutes"
	}
}
