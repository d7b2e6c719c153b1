package search

// Cursor is where a page ended, and what it was a page of.
type Cursor struct {
	// OccurredAt (Unix nanoseconds) and Seq are those of the last entry.
	OccurredAt int64
	Seq        uint64
	// Started is false before the first entry: then both are 0.
	Started bool
	// Ascending is the order.
	Ascending bool
	// Bound is the size of the log when the first page was made: entries
	// from there on are not on any page.
	Bound uint64
	// BoundReceivedAt is the received_at (Unix milliseconds) of the entry
	// before Bound.
	BoundReceivedAt int64
	// Digest is that of organization, query and order.
	Digest [8]byte
}

// ParseCursor reads the text of a cursor; errors are *audit.Error with code
// invalid_cursor.
func ParseCursor(text string) (*Cursor, error) { panic("unfinished") }

// String is the cursor as text for a URL.
func (c Cursor) String() string { panic("unfinished") }
