package audit

import "context"

// LogReader reads a log as C2SP tlog-tiles serves it.
type LogReader interface {
	// ReadCheckpoint returns the newest signed checkpoint.
	ReadCheckpoint(ctx context.Context) ([]byte, error)
	// ReadTile returns a tile or an entry bundle by its path, such as
	// "tile/0/x001/234" or "tile/entries/000.p/17". The error for one that
	// is not there is fs.ErrNotExist (errors.Is).
	ReadTile(ctx context.Context, path string) ([]byte, error)
}

// LogOptions says what more VerifyLog does.
type LogOptions struct {
	// Older is a signed checkpoint kept from earlier: the log must extend it.
	Older []byte
	// Record, when not nil, is called with each record once it is verified.
	Record func(seq uint64, record []byte) error
	// Progress, when not nil, is called now and then.
	Progress func(done, total uint64)
}

// LogReport sums up what was verified.
type LogReport struct {
	Checkpoint Checkpoint
	// Older is the older checkpoint that the log extends, nil when none was
	// given.
	Older *Checkpoint
	// Entries is the number of records whose hash was recomputed.
	Entries uint64
}

// VerifyLog reads a whole log and checks it against its signed checkpoint.
func VerifyLog(ctx context.Context, r LogReader, v *Verifier, opts LogOptions) (LogReport, error) {
	panic("unfinished")
}
