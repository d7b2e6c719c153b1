package retention

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
)

// Certificate states a removal, signed by the log's key.
type Certificate struct {
	// ID is "certificate_" and a ULID.
	ID           string    `json:"id"`
	Organization string    `json:"organization"`
	CreatedAt    time.Time `json:"created_at"`
	// FromSeq ≤ seq < ToSeq is the range within which entries were removed,
	// Removed how many of it, Held how many were past their time and stayed
	// under legal holds.
	FromSeq uint64 `json:"from_seq"`
	ToSeq   uint64 `json:"to_seq"`
	Removed uint64 `json:"removed"`
	Held    uint64 `json:"held"`
	// Oldest and Newest are the first and the last received_at of what was
	// removed.
	Oldest time.Time `json:"oldest"`
	Newest time.Time `json:"newest"`
	// Policy is the policy in words.
	Policy string `json:"policy"`
	// Note is the certificate itself, a signed note.
	Note []byte `json:"note"`
}

// CertificateLine is how the first line of every certificate ends, after the name
// of the log.
const CertificateLine = " destruction certificate v1"

// statement is what a certificate says, after its first line: one line of JSON.
type statement struct {
	ID           string    `json:"id"`
	Organization named     `json:"organization"`
	CreatedAt    time.Time `json:"created_at"`
	// DueAt is the moment by which the entries were past their time, by these
	// rules.
	DueAt   time.Time `json:"due_at"`
	Policy  string    `json:"policy"`
	Rules   []rule    `json:"rules"`
	FromSeq uint64    `json:"from_seq"`
	ToSeq   uint64    `json:"to_seq"`
	Removed uint64    `json:"removed"`
	Held    uint64    `json:"held"`
	Oldest  time.Time `json:"oldest"`
	Newest  time.Time `json:"newest"`
	Server  string    `json:"server"`
}

type named struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// rule is a class of entries that went: those that the filter finds and that were
// received before a time.
type rule struct {
	Entries        string    `json:"entries"`
	ReceivedBefore time.Time `json:"received_before"`
}

// certify makes and signs the certificate of a job.
func (r *Retention) certify(o *catalog.Organization, j *job) (*Certificate, error) {
	c := &Certificate{
		ID: "certificate_" + j.ID, Organization: o.ID, CreatedAt: r.now(), Policy: j.Policy,
		FromSeq: j.Done.From, ToSeq: j.Done.To, Removed: j.Done.Removed, Held: j.Done.Held,
		Oldest: j.Done.Oldest, Newest: j.Done.Newest,
	}
	st := statement{
		ID: c.ID, Organization: named{o.ID, o.Name}, CreatedAt: c.CreatedAt, DueAt: j.At, Policy: c.Policy, Rules: []rule{},
		FromSeq: c.FromSeq, ToSeq: c.ToSeq, Removed: c.Removed, Held: c.Held, Oldest: c.Oldest, Newest: c.Newest, Server: r.cfg.Server,
	}
	queries, err := parseQueries(j.Due)
	if err != nil {
		return nil, err
	}
	for _, q := range queries {
		st.Rules = append(st.Rules, rule{classText(q), q.ReceivedTo})
	}
	var text strings.Builder
	text.WriteString(r.cfg.Log.Origin(o.ID) + CertificateLine + "\n")
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(st); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	c.Note, err = r.cfg.Log.SignNote(text.String(), o.ID)
	return c, err
}

func certificateKey(org, id string) string { return prefixCertificate + org + "/" + id }

func noCertificate(id string) *audit.Error {
	return audit.Errorf(audit.CodeNotFound, "there is no certificate %q", id[:min(len(id), 64)])
}

// Certificate returns one certificate. Errors: not_found, also for that of another
// organization.
func (r *Retention) Certificate(ctx context.Context, org, id string) (*Certificate, error) {
	if !validID(id, "certificate_") {
		return nil, noCertificate(id)
	}
	s, err := catalog.Load[Certificate](ctx, r.cfg.KV, certificateKey(org, id))
	if errors.Is(err, catalog.ErrNotFound) {
		return nil, noCertificate(id)
	}
	if err != nil {
		return nil, err
	}
	return &s.Value, nil
}

// Certificates lists an organization's certificates, newest first: up to limit of
// those made before the one with the id, all when it is "". more says that there
// are others.
func (r *Retention) Certificates(ctx context.Context, org, before string, limit int) (list []*Certificate, more bool, err error) {
	if before != "" && !validID(before, "certificate_") {
		return nil, false, audit.FieldErrorf(audit.CodeInvalidCursor, "cursor", "is not one that a list gave")
	}
	// There is one a day at most: they are few enough to be read from the oldest.
	var all []*Certificate
	for s, err := range catalog.All[Certificate](ctx, r.cfg.KV, prefixCertificate+org+"/", "") {
		if err != nil {
			return nil, false, fmt.Errorf("list certificates: %w", err)
		}
		if before != "" && s.Value.ID >= before {
			break
		}
		all = append(all, &s.Value)
	}
	for _, c := range slices.Backward(all) {
		if len(list) == limit {
			return list, true, nil
		}
		list = append(list, c)
	}
	return list, false, nil
}
