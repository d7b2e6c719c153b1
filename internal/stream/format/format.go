// Package format turns entries into what a stream's receiver reads: the native
// JSON, OCSF, CEF, ECS.
//
// A format is a pure function of its [Input]: the same input gives the same
// bytes for ever. A stream persists what a batch was frozen with, not its bytes,
// and makes them again after a restart; a retry must be identical to the first
// attempt. A change of a format's output is therefore a new version, and the old
// one stays until no stream can have a batch in flight with it.
package format

import (
	"time"

	"github.com/stelehq/stele/internal/event"
)

// Format encodes single events. Its methods may be called concurrently.
type Format interface {
	// Info says what the format is. It never changes.
	Info() Info
	// Append appends one event to dst and returns the result: one line
	// without its end, so it holds no LF. It keeps nothing of in.
	Append(dst []byte, in *Input) []byte
	// AppendCheckpoint appends a checkpoint record in the same form, of a type
	// of its own, so that a receiver can tell it from an event.
	AppendCheckpoint(dst []byte, cp *Checkpoint) []byte
}

// Info describes a format.
type Info struct {
	// Name is what settings and records call it, such as "json" or "ocsf-1.8":
	// lower-case letters, digits, '-' and '.'.
	Name string
	// Version grows when the output for an input changes. From 1.
	Version int
	// Label and Help are for people.
	Label, Help string
	// JSON says that every event is one JSON object.
	JSON bool
	// ContentType is that of one event.
	ContentType string
}

// Input is one event and what is known about where it comes from. Nothing in it
// depends on when it is encoded.
type Input struct {
	// Entry is valid during the call.
	Entry *event.Entry
	// Organization is the id of the organization, OrganizationName its name at
	// the time the batch was frozen; "" when it has none.
	Organization, OrganizationName string
	// Description is that of the schema version which the entry was checked
	// against; "" when there is none.
	Description string
	// Server is the public host name of the server, Product its version at the
	// time the batch was frozen.
	Server, Product string
	// Replay marks an event that is delivered again on request.
	Replay bool
}

// Checkpoint is a signed statement about a log, to be sent in-band.
type Checkpoint struct {
	// Organization is whose log it is; OrganizationName as in [Input].
	Organization, OrganizationName string
	// Size is the number of entries the checkpoint commits to.
	Size uint64
	// Note is the signed note (C2SP tlog-checkpoint) as text.
	Note []byte
	// ReceivedAt is that of the last entry the checkpoint commits to.
	ReceivedAt time.Time
	// Server and Product are as in [Input].
	Server, Product string
}

// Registry finds formats by name.
type Registry struct {
	formats []Format
}

// NewRegistry makes a registry. The order is that in which they are offered.
// Several versions of one name are given newest first.
func NewRegistry(formats ...Format) *Registry { return &Registry{formats: formats} }

// Get returns a format by name and version; version 0 is the newest.
func (r *Registry) Get(name string, version int) (Format, bool) {
	for _, f := range r.formats {
		if in := f.Info(); in.Name == name && (version == 0 || in.Version == version) {
			return f, true
		}
	}
	return nil, false
}

// Names lists the names of the formats, each once, in the order they are offered.
func (r *Registry) Names() []string {
	var names []string
	seen := map[string]bool{}
	for _, f := range r.formats {
		if name := f.Info().Name; !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}
