package export

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
)

// Format is the form of an export's file.
type Format string

// The formats.
const (
	CSV   Format = "csv"
	JSONL Format = "jsonl"
	// Evidence is a zip of both, with what proves them: see evidence.go.
	Evidence Format = "evidence"
)

// formats are all formats.
var formats = []Format{CSV, JSONL, Evidence} //nolint:gochecknoglobals // a constant

// Known reports whether there is such a format.
func (f Format) Known() bool { return slices.Contains(formats, f) }

// extension is how the names of files of this format end.
func (f Format) extension() string {
	if f == Evidence {
		return "zip"
	}
	return string(f)
}

// ContentType is the media type of files of this format.
func (f Format) ContentType() string {
	switch f {
	case JSONL:
		return "application/x-ndjson"
	case Evidence:
		return "application/zip"
	}
	return "text/csv; charset=utf-8"
}

// State is where a job stands.
type State string

// The states of a job. A job ends as ready or error; a ready one becomes
// expired once its file is removed.
const (
	StatePending State = "pending"
	StateRunning State = "running"
	StateReady   State = "ready"
	StateError   State = "error"
	StateExpired State = "expired"
)

// Spec is what an export is asked for.
type Spec struct {
	// Organization is whose entries are exported.
	Organization string
	// Query is a filter as text; empty for every entry.
	Query string
	// Format is CSV when empty.
	Format Format
	// Descending writes the newest entry first, by seq.
	Descending bool
	// RawCells leaves cells of a CSV file as they are even where a
	// spreadsheet would run them as a formula.
	RawCells bool
	// CreatedBy is who asks, for the list of exports.
	CreatedBy Creator

	// Zone is the IANA name of the time zone that whoever asks thinks in, for
	// the manifest of evidence; UTC when empty.
	Zone string
	// OlderCheckpoint, for evidence, is a signed checkpoint of the log that is
	// proved to be extended by the one in the zip; "" for none.
	OlderCheckpoint string
}

// Creator is who asked for an export.
type Creator struct {
	// Type says what ID is of.
	Type CreatorType
	ID   string
	// Name is for people; it may be empty.
	Name string
}

// CreatorType is a kind of Creator.
type CreatorType string

// The kinds of Creator.
const (
	// CreatorKey is a program, by its API key.
	CreatorKey CreatorType = "key"
	// CreatorPerson is somebody at the pages. The id is the product's, or the
	// session's where the product said none.
	CreatorPerson CreatorType = "person"
)

// Job is one export.
type Job struct {
	// ID is a ULID. The native API shows it with the prefix "export_", the
	// WorkOS routes with "audit_log_export_".
	ID string `json:"id"`

	Organization string `json:"organization"`
	Query        string `json:"query,omitempty"`
	// QueryRemoved says that Query was removed because it named somebody whose
	// details were erased.
	QueryRemoved bool   `json:"query_removed,omitzero"`
	Format       Format `json:"format"`
	Descending   bool   `json:"descending,omitempty"`
	RawCells     bool   `json:"raw_cells,omitempty"`
	// Zone and OlderCheckpoint are those of the Spec.
	Zone            string `json:"zone,omitempty"`
	OlderCheckpoint string `json:"older_checkpoint,omitempty"`
	// CreatedBy, CreatedByName and CreatedByType are the Creator. Jobs of
	// earlier builds have the id of a key and no more.
	CreatedBy     string      `json:"created_by,omitempty"`
	CreatedByName string      `json:"created_by_name,omitempty"`
	CreatedByType CreatorType `json:"created_by_type,omitempty"`

	// Through is the last entry that the export covers: the log's newest
	// when the job was made. Nil when the log was empty.
	Through *audit.Position `json:"through,omitempty"`

	State State `json:"state"`
	// Rows is the number of entries written so far.
	Rows uint64 `json:"rows"`
	// Total is the number of entries the export will have, once known.
	Total *uint64 `json:"total,omitempty"`
	// Percent is how much of the work is done, 0 to 100.
	Percent int `json:"percent"`
	// Bytes is the size of the file so far.
	Bytes int64 `json:"bytes"`
	// Error says why the job ended in StateError, or why its file was removed
	// before its time, for the one who made it.
	Error string `json:"error,omitempty"`
	// RemovedBy is the id of what removed the file before its time; "" when it
	// has its file or its time was up.
	RemovedBy string `json:"removed_by,omitempty"`

	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	// StartedAt is when a worker took the job up, the last time; zero before.
	StartedAt time.Time `json:"started_at,omitzero"`
	// ReadyAt is when the file was whole; zero before.
	ReadyAt time.Time `json:"ready_at,omitzero"`
	// ExpiresAt is when the file is removed; zero before the job has ended.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// Creator returns who asked for the export.
func (j *Job) Creator() Creator {
	return Creator{Type: cmp.Or(j.CreatedByType, CreatorKey), ID: j.CreatedBy, Name: j.CreatedByName}
}

// minObserved is how long a job must have run before its speed says anything.
const minObserved = time.Second

// Left estimates how long a running job still takes, from the speed it had up
// to its last progress. It is false while nothing can be said.
func (j *Job) Left() (time.Duration, bool) {
	ran := j.UpdatedAt.Sub(j.StartedAt)
	if j.State != StateRunning || j.StartedAt.IsZero() || j.Percent <= 0 || ran < minObserved {
		return 0, false
	}
	return ran * time.Duration(100-j.Percent) / time.Duration(j.Percent), true
}

// Ended reports whether nothing more will be written for the job.
func (j *Job) Ended() bool {
	return j.State == StateReady || j.State == StateError || j.State == StateExpired
}

// LinkLife is how long a signed download link works.
const LinkLife = 10 * time.Minute

// LinkPrefix is what the path of every download link begins with; the name of
// the file follows.
const LinkPrefix = "/v1/downloads/"

// LinkPath is the path that a signed link to the job's file goes to.
func (j *Job) LinkPath() string { return LinkPrefix + fileName(j.ID, j.Format) }

// IDOfLink returns the id of the job whose LinkPath ends in file; not_found when
// it is none.
func IDOfLink(file string) (string, error) {
	id, ending, _ := strings.Cut(file, ".")
	if !isID(id) || !slices.ContainsFunc(formats, func(f Format) bool { return f.extension() == ending }) {
		return "", audit.Errorf(audit.CodeNotFound, "there is no download %q", file)
	}
	return id, nil
}

// FileName is a name for the downloaded file that says what it holds.
func (j *Job) FileName() string {
	what := "-audit-log-"
	if j.Format == Evidence {
		what = "-audit-log-evidence-"
	}
	return j.Organization + what + j.CreatedAt.UTC().Format("2006-01-02T150405Z") + "." + j.Format.extension()
}
