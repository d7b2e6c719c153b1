package audit

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// The states of an erasure. It ends as done or failed.
const (
	ErasurePending = "pending"
	ErasureRunning = "running"
	ErasureDone    = "done"
	ErasureFailed  = "failed"
)

// Erasure is the erasure of a person from an organization's log: the details of
// every entry whose actor or target is the subject go, the records stay.
type Erasure struct {
	ID             string `json:"id"`
	OrganizationID string `json:"organization_id"`
	// Subject is the id of the person; SubjectType limits it to actors and
	// targets of a type, "" is any.
	Subject     string `json:"subject"`
	SubjectType string `json:"subject_type,omitempty"`
	// Reference says what it was for, such as the number of a ticket.
	Reference   string           `json:"reference,omitempty"`
	RequestedBy ErasureRequester `json:"requested_by"`
	// State is ErasurePending, ErasureRunning, ErasureDone or ErasureFailed;
	// Step what a running one is at, for people.
	State string `json:"state"`
	Step  string `json:"step,omitempty"`
	// Found is how many entries name the subject, Erased how many of these it
	// erased, Held how many a legal hold keeps as they are.
	Found  uint64 `json:"found"`
	Erased uint64 `json:"erased"`
	Held   uint64 `json:"held"`
	// RemovedExports is how many files of exports were removed.
	RemovedExports int `json:"removed_exports"`
	// Mentions are records that name the subject in a text that somebody wrote,
	// such as the filter of a stream, and that are left as they are.
	Mentions []ErasureMention `json:"mentions,omitempty"`
	// Error says why it failed, or why it is being tried again.
	Error string `json:"error,omitempty"`
	// Entry is the place of the subject.erased entry.
	Entry     *Position `json:"entry,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	// ErasedAt is what erased entries have as theirs.
	ErasedAt time.Time `json:"erased_at,omitzero"`
	DoneAt   time.Time `json:"done_at,omitzero"`
}

// Ended reports whether nothing more will happen.
func (e *Erasure) Ended() bool { return e.State == ErasureDone || e.State == ErasureFailed }

// ErasureRequester is who asked for something: a "key", or a "person" at the pages.
type ErasureRequester struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
}

// ErasureMention is a record that names somebody.
type ErasureMention struct {
	Kind string `json:"kind"` // such as "stream" or "hold"
	ID   string `json:"id"`
}

// ErasurePreview is what an erasure would do now.
type ErasurePreview struct {
	Subject     string `json:"subject"`
	SubjectType string `json:"subject_type,omitempty"`
	// Found is how many entries name the subject. Of these WouldErase would be
	// erased, Held are kept by a legal hold, and Erased were erased before.
	Found      uint64 `json:"found"`
	WouldErase uint64 `json:"would_erase"`
	Held       uint64 `json:"held"`
	Erased     uint64 `json:"erased"`
	// Oldest and Newest are the first and the last entry that would be erased,
	// nil when there is none.
	Oldest *Position `json:"oldest"`
	Newest *Position `json:"newest"`
	// Actions are the most frequent actions of these.
	Actions []ErasureAction `json:"actions"`
	// Exports is how many files of exports would be removed.
	Exports int `json:"exports"`
}

// ErasureAction is how many entries have an action.
type ErasureAction struct {
	Action string `json:"action"`
	Count  uint64 `json:"count"`
}

// ErasureRequest says who is to be erased, and why.
type ErasureRequest struct {
	Subject     string `json:"subject"`
	SubjectType string `json:"subject_type,omitempty"`
	// Reference is kept for good, in the log too: it should not name the person.
	Reference string `json:"reference,omitempty"`
}

// PreviewErasure says what an erasure would do, and changes nothing.
func (c *Client) PreviewErasure(ctx context.Context, org string, r ErasureRequest) (*ErasurePreview, error) {
	body := struct {
		ErasureRequest
		DryRun bool `json:"dry_run"`
	}{r, true}
	out := new(ErasurePreview)
	return out, c.send(ctx, http.MethodPost, orgPath(org, "erasures"), body, out)
}

// CreateErasure begins to erase somebody. It cannot be undone.
func (c *Client) CreateErasure(ctx context.Context, org string, r ErasureRequest) (*Erasure, error) {
	out := new(Erasure)
	return out, c.send(ctx, http.MethodPost, orgPath(org, "erasures"), r, out)
}

// Erasure returns an erasure by its id.
func (c *Client) Erasure(ctx context.Context, org, id string) (*Erasure, error) {
	out := new(Erasure)
	return out, c.get(ctx, orgPath(org, "erasures", id), nil, out)
}

// Erasures yields the erasures of an organization, newest first. It ends after
// the first error.
func (c *Client) Erasures(ctx context.Context, org string) iter.Seq2[*Erasure, error] {
	return list[Erasure](ctx, c, orgPath(org, "erasures"), "erasures", url.Values{})
}

// WaitErasure returns an erasure once it is done; one that failed is an error.
// progress, when not nil, is called each time the server is asked.
func (c *Client) WaitErasure(ctx context.Context, org, id string, progress func(*Erasure)) (*Erasure, error) {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		e, err := c.Erasure(ctx, org, id)
		if err != nil {
			return nil, err
		}
		if progress != nil {
			progress(e)
		}
		switch {
		case e.State == ErasureFailed:
			return e, fmt.Errorf("erasure %s: %s", id, e.Error)
		case e.Ended():
			return e, nil
		}
		if err := c.pause(ctx, pause); err != nil {
			return nil, err
		}
	}
}
