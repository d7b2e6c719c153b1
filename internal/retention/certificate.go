package retention

import (
	"context"
	"errors"
	"fmt"
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
	for i := len(all) - 1; i >= 0; i-- {
		if len(list) == limit {
			return list, true, nil
		}
		list = append(list, all[i])
	}
	return list, false, nil
}
