package schema

// Change is one difference between two versions of a schema.
type Change struct {
	// Path is where, such as "/metadata/properties/team".
	Path string `json:"path"`
	// Breaking says that an event which satisfied the first version may be
	// refused by the second, or that a field readers know is gone.
	Breaking bool `json:"breaking"`
	// Message is the change in a sentence.
	Message string `json:"message"`
}

// Compare returns what changed from a to b, none when they mean the same.
func Compare(a, b *Schema) []Change { panic("unfinished") }

// Status is what a catalogue file would do with one version.
type Status string

// The statuses of a version in a file.
const (
	StatusUnchanged Status = "unchanged"
	StatusDescribed Status = "described" // only descriptions differ
	StatusNew       Status = "new"       // first version of an action
	StatusNext      Status = "next"      // a further version
	StatusConflict  Status = "conflict"  // registered, and differs
	StatusGap       Status = "gap"       // a version before it is missing
)

// Finding is what applying one schema of a file would do.
type Finding struct {
	Ref
	Status  Status   `json:"status"`
	Changes []Change `json:"changes,omitempty"`
}

// Breaking says whether the finding breaks or cannot be applied.
func (f *Finding) Breaking() bool { panic("unfinished") }

// Review says what applying c would do to the registered schemas.
func Review(registered []Schema, c *Catalogue) []Finding { panic("unfinished") }
