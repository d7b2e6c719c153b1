package audit

import "fmt"

// Check names one thing that verification checks.
type Check string

// The checks, in the order in which a proof goes through them.
const (
	CheckFormat      Check = "format"      // it can be read, in one way only
	CheckSignature   Check = "signature"   // a known key signed the checkpoint
	CheckOrigin      Check = "origin"      // the checkpoint is of this log
	CheckPlace       Check = "place"       // seq, id and the proof's index agree
	CheckRecord      Check = "record"      // the entry says what the record says
	CheckDetails     Check = "details"     // names, metadata and context have the record's digest
	CheckInclusion   Check = "inclusion"   // the record is at its place in the tree
	CheckTree        Check = "tree"        // hashes of the log lead to the checkpoint's root
	CheckConsistency Check = "consistency" // a newer checkpoint extends an older one
)

// VerifyError says that something is not as it was recorded, or cannot be shown
// to be.
type VerifyError struct {
	// Check is the check that failed.
	Check Check
	// Message says how, in a sentence.
	Message string
}

// Error names the check and how it failed.
func (e *VerifyError) Error() string { return string(e.Check) + ": " + e.Message }

// failed makes a VerifyError.
func failed(c Check, format string, args ...any) error {
	return &VerifyError{Check: c, Message: fmt.Sprintf(format, args...)}
}
