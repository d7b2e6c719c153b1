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
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/server"
)

// recentOpenings is how many openings of the log the page names.
const recentOpenings = 10

func (p *pages) settingRoutes() []server.Route {
	return []server.Route{
		get("page.retention", "retention", auth.Managers(), p.showRetention),
		get("page.retention.checkpoint", "retention/checkpoint", auth.Managers(), p.downloadCheckpoint),
	}
}

// retentionPage is what retention.html shows.
type retentionPage struct {
	// Kept is how long entries are kept, in words; Forever says that it is for
	// ever.
	Kept         string
	Forever      bool
	HistoryStart time.Time
	// Oldest is the first entry of the log; nil for an empty log.
	Oldest *oldestEntry
	// KeptSince is from when on every entry is kept still; zero when for ever.
	KeptSince time.Time
	Through   *audit.Position

	Openings    []openedRow
	OpeningsURL string
	// SessionLife is how long somebody stays signed in, in words.
	SessionLife string

	Keys       logKeys
	Checkpoint logCheckpoint
	// VerifyLog and VerifyAgain are commands for a shell.
	VerifyLog, VerifyAgain string
	TilesURL               string
}

type oldestEntry struct {
	Path       string
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
	if !page.Forever {
		page.KeptSince = p.Now().AddDate(0, 0, -o.RetentionDays)
	}
	for _, step := range []func(*server.Request, *retentionPage) error{p.fillLog, p.fillOpenings, p.fillKeys} {
		if err := step(r, &page); err != nil {
			return err
		}
	}
	return p.show(w, r, "retention", view{
		Title: "Retention and access", Section: "retention", Data: page, Scripts: []string{"js/copy.js"},
	})
}

// fillLog says where the log begins and stands.
func (p *pages) fillLog(r *server.Request, page *retentionPage) error {
	org := r.Organization.ID
	var err error
	if page.Through, err = p.Ledger.Through(r.Context(), org); err != nil || page.Through == nil {
		return err
	}
	first, err := p.Ledger.EntryAt(r.Context(), org, 0)
	if err != nil {
		return err
	}
	page.Oldest = &oldestEntry{Path: entriesPath + first.ID.String(), ReceivedAt: first.ReceivedTime()}
	return nil
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
	page.Checkpoint.Path = Base + "/retention/checkpoint"
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
	h := w.Header()
	p.protect(h)
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": r.Organization.ID + "-checkpoint.txt"}))
	h.Set("Content-Length", strconv.Itoa(len(signed)))
	_, err = w.Write(signed)
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
