package audit

import "time"

// Limits of an event. They are part of the contract of every Stele server; the
// WorkOS routes apply narrower ones.
const (
	// MaxEventBytes is the size of one event's JSON, as received.
	MaxEventBytes = 64 << 10
	// MaxRecordBytes is the size of the canonical record of an entry: entry
	// bundles (C2SP tlog-tiles) carry 16-bit lengths.
	MaxRecordBytes = 65_535
	// MaxActionBytes bounds an action's name: it is shown in lists and in
	// filters, and is the key of its schema.
	MaxActionBytes = 200
	// MaxTargets is the number of targets of one event.
	MaxTargets = 100
	// MaxMetadataDepth is how deep metadata nests: the metadata object itself
	// is depth 1.
	MaxMetadataDepth = 4
	// MaxMetadataKeys is the number of keys of one metadata object, those of
	// nested objects included.
	MaxMetadataKeys = 200
	// MaxStringBytes is the size of one string in metadata, and of each id,
	// type, name, location and user agent, in UTF-8.
	MaxStringBytes = 16 << 10
	// MaxBatchEvents is the number of events of one request.
	MaxBatchEvents = 10_000
	// MaxBatchBytes is the size of one request's body, after decompression.
	MaxBatchBytes = 16 << 20
	// MaxIdempotencyKeyBytes bounds an idempotency key.
	MaxIdempotencyKeyBytes = 255
	// MaxQueryLimit is the largest page of a search.
	MaxQueryLimit = 1000
	// DefaultQueryLimit is the page of a search that names no limit.
	DefaultQueryLimit = 50
)

// MinTime and MaxTime bound every time Stele accepts, both included: what fits
// in nanoseconds since 1970 in 64 bits, by whole years.
var (
	MinTime = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)                //nolint:gochecknoglobals // a constant, as far as Go has one
	MaxTime = time.Date(2261, 12, 31, 23, 59, 59, 999_999_999, time.UTC) //nolint:gochecknoglobals // a constant, as far as Go has one
)

// Metadata is a JSON object of the product's own: values are strings, numbers,
// booleans, nil, []any and map[string]any.
type Metadata map[string]any

// Event is what a product says happened: who (Actor) did what (Action) to what
// (Targets), when and from where. An empty optional string and an empty
// metadata object mean the same as leaving them out, and are recorded so.
type Event struct {
	// Action names what happened, such as "api_key.created". Required.
	Action string `json:"action"`
	// Version is the version of the action's schema the event is written
	// for, from 1. Zero in a sent event means 1.
	Version int `json:"version,omitempty"`
	// OccurredAt is when it happened, to the nanosecond. Required.
	OccurredAt time.Time `json:"occurred_at"`
	// Actor is who did it. Type and ID are required.
	Actor Actor `json:"actor"`
	// Targets are what it was done to, in the product's order.
	Targets []Target `json:"targets,omitempty"`
	// Context is where it came from.
	Context Context `json:"context,omitzero"`
	// Metadata is anything else, such as values before and after.
	Metadata Metadata `json:"metadata,omitempty"`
	// IdempotencyKey makes sending the event again harmless: within the
	// server's idempotency window, one event is recorded for each key of an
	// organization. It is not part of the entry.
	IdempotencyKey string `json:"idempotency_key,omitempty"`
}

// Actor is who caused an event.
type Actor struct {
	// Type is the product's word for the kind of actor, such as "user",
	// "api_key", "system", "workflow", "external_resource" or "alert".
	Type string `json:"type"`
	// ID is the product's identifier of the actor.
	ID string `json:"id"`
	// Name is how a person knows the actor. Erasable.
	Name string `json:"name,omitempty"`
	// Metadata is anything else about the actor. Erasable.
	Metadata Metadata `json:"metadata,omitempty"`
}

// Target is one thing an event was about.
type Target struct {
	// Type is the product's word for the kind of target.
	Type string `json:"type"`
	// ID is the product's identifier of the target.
	ID string `json:"id"`
	// Name is how a person knows the target. Erasable.
	Name string `json:"name,omitempty"`
	// Metadata is anything else about the target. Erasable.
	Metadata Metadata `json:"metadata,omitempty"`
}

// Context is where an event came from.
type Context struct {
	// Location is usually an IP address; any text is accepted.
	Location string `json:"location,omitempty"`
	// UserAgent is the client's User-Agent header or the like.
	UserAgent string `json:"user_agent,omitempty"`
}

// SchemaUnregistered is the value of [Entry.Schema] for an entry whose action
// or version was not registered when it was recorded.
const SchemaUnregistered = "unregistered"

// Entry is an event once recorded, in its place.
type Entry struct {
	// ID identifies the entry: a ULID (48-bit milliseconds of ReceivedAt,
	// 40-bit Seq, 40 check bits), monotonic within the organization.
	ID string `json:"id"`
	// OrganizationID is the organization whose log holds the entry.
	OrganizationID string `json:"organization_id"`
	// Seq is the entry's place in the organization's log: 0, 1, 2 ….
	Seq uint64 `json:"seq"`
	// ReceivedAt is when the server took the event, to the millisecond. It
	// never decreases with Seq.
	ReceivedAt time.Time `json:"received_at"`
	// Schema is "" for an entry checked against its schema, or
	// [SchemaUnregistered].
	Schema string `json:"schema,omitempty"`
	// ErasedAt is when the entry's details were erased: names, metadata and
	// context are gone then and empty, for good. The zero time for an entry
	// that has them. No proof covers it.
	ErasedAt time.Time `json:"erased_at,omitzero"`

	Event
}

// Position names a place in an organization's log up to which an answer is
// complete: every entry with a lower or the same Seq was considered.
type Position struct {
	Seq        uint64    `json:"seq"`
	ReceivedAt time.Time `json:"received_at"`
}
