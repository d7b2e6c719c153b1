package erasure

import (
	"time"

	"github.com/stelehq/stele/audit"
)

// State is where an erasure stands.
type State string

// The states of an erasure. It ends as done, or as failed when the log is damaged
// where it would have to be read: then it is asked for again once that is repaired.
// Any other fault is tried again and is no end.
const (
	StatePending State = "pending"
	StateRunning State = "running"
	StateDone    State = "done"
	StateFailed  State = "failed"
)

// Limits of what is asked for.
const (
	MaxSubjectBytes   = audit.MaxStringBytes
	MaxReferenceBytes = 200
)

// IDPrefix is before the ULID in the id of an erasure.
const IDPrefix = "erasure_"

// RequesterType is a kind of Requester.
type RequesterType string

// The kinds of Requester.
const (
	// ByKey is a program, by its API key.
	ByKey RequesterType = "key"
	// ByPerson is somebody at the pages. The id is the product's, or the
	// session's where the product said none.
	ByPerson RequesterType = "person"
)

// Requester is who asks for an erasure.
type Requester struct {
	Type RequesterType `json:"type"`
	ID   string        `json:"id"`
	// Name is for people; it may be empty.
	Name string `json:"name,omitempty"`
	// Location and UserAgent are the context of the entry in the log, for a
	// person. They are not kept once it is there.
	Location  string `json:"location,omitempty"`
	UserAgent string `json:"user_agent,omitempty"`
}

// Request is what an erasure is asked for.
type Request struct {
	Organization string
	// Subject is the id of the person, as actors and targets have it.
	Subject string
	// SubjectType limits it to actors and targets of that type; "" is any.
	SubjectType string
	// Reference says what the erasure is for, such as the number of a ticket.
	// It is kept for good, so it should not name the person. It may be empty.
	Reference   string
	RequestedBy Requester
}

// Record is one erasure.
type Record struct {
	// ID is IDPrefix and a ULID.
	ID           string `json:"id"`
	Organization string `json:"organization"`
	Subject      string `json:"subject"`
	SubjectType  string `json:"subject_type,omitempty"`
	Reference    string `json:"reference,omitempty"`

	RequestedBy Requester `json:"requested_by"`

	State State `json:"state"`
	// Step is what a running erasure is at.
	Step Step `json:"step,omitempty"`
	// Found is how many entries name the subject, those included that were
	// erased by earlier requests; Erased how many of them this one erased; Held
	// how many it left as they are, because a legal hold keeps them.
	Found  uint64 `json:"found"`
	Erased uint64 `json:"erased"`
	Held   uint64 `json:"held"`
	// Looked is the size of the log up to which entries were looked for:
	// whatever names the subject below it was found.
	Looked uint64 `json:"looked"`
	// RemovedExports is how many files of exports were removed.
	RemovedExports int `json:"removed_exports"`
	// Mentions are records of the server that name the subject and that it does
	// not change by itself, the first MaxMentions.
	Mentions []Mention `json:"mentions,omitempty"`
	// Error says why it failed, or why it is being tried again.
	Error string `json:"error,omitempty"`

	// Entry is the place of the subject.erased entry, nil before it is there.
	Entry *audit.Position `json:"entry,omitempty"`
	// Confirming is the size of the log before that entry, once it may be there.
	Confirming *uint64 `json:"confirming,omitempty"`

	CreatedAt time.Time `json:"created_at"`
	// ErasedAt is the time that the entries are marked with, by which those of
	// this erasure are told from earlier ones; zero before.
	ErasedAt time.Time `json:"erased_at,omitzero"`
	// DoneAt is when it ended; zero before.
	DoneAt time.Time `json:"done_at,omitzero"`
}

// Ended reports whether nothing more will happen.
func (r *Record) Ended() bool { return r.State == StateDone || r.State == StateFailed }

// Step is a part of the work. After a restart an erasure goes on with the step
// that it was at, from its beginning.
type Step string

// The steps, in order.
const (
	StepErase   Step = "erase"   // details of entries, until a pass over the log finds no more
	StepForget  Step = "forget"  // files of exports, sessions, names in records
	StepScrub   Step = "scrub"   // bytes that the store's files still have
	StepVerify  Step = "verify"  // looking for entries again, and counting
	StepConfirm Step = "confirm" // the entry in the log
)

// MaxMentions is how many mentions a record names.
const MaxMentions = 100

// Preview is what an erasure would do now.
type Preview struct {
	// Found is how many entries name the subject; Held and Erased how many of
	// these a legal hold keeps, and were erased before. The others would be
	// erased.
	Found, Held, Erased uint64
	// Oldest and Newest are the first and the last entry that would be erased,
	// nil when there is none.
	Oldest, Newest *audit.Position
	// Actions are the most frequent actions of what would be erased, at most
	// MaxActions, the most frequent first.
	Actions []ActionCount
	// Exports is how many files of exports would be removed.
	Exports int
}

// MaxActions is how many actions a Preview names.
const MaxActions = 10

// ActionCount is how many entries have an action.
type ActionCount struct {
	Action string
	Count  uint64
}

// WillErase is how many entries would be erased.
func (p *Preview) WillErase() uint64 { return p.Found - p.Held - p.Erased }
