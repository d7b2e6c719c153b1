package audit

import (
	"fmt"
	"strconv"
)

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
	CheckManifest    Check = "manifest"    // an evidence zip holds what its manifest says
)

// VerifyError says that something is not as it was recorded, or cannot be shown
// to be.
type VerifyError struct {
	// Check is the check that failed.
	Check Check `json:"check"`
	// Message says how, in a sentence.
	Message string `json:"message"`

	// File is the file of an evidence zip that it is about, "" when it is
	// about all of it or there is no zip.
	File string `json:"file,omitempty"`
	// Line is the line of File, or the row of a CSV, from 1; 0 when it is not
	// about one. The header is row 1, as a spreadsheet counts.
	Line uint64 `json:"line,omitempty"`
	// Seq is the entry that it is about, nil when it is not about one.
	Seq *uint64 `json:"seq,omitempty"`
	// Field is the member or column that it is about, "" when it is not about
	// one.
	Field string `json:"field,omitempty"`
}

// Error names the check, where it failed and how.
func (e *VerifyError) Error() string { return string(e.Check) + ": " + e.Sentence() }

// Sentence says where the check failed and how, without its name.
func (e *VerifyError) Sentence() string {
	where := e.File
	switch {
	case e.Line > 0 && e.File == csvFile:
		where += ", row " + strconv.FormatUint(e.Line, 10)
	case e.Line > 0:
		where += ", line " + strconv.FormatUint(e.Line, 10)
	}
	if e.Seq != nil {
		where += " (entry " + strconv.FormatUint(*e.Seq, 10) + ")"
	}
	if where == "" {
		return e.Message
	}
	return where + ": " + e.Message
}

// failed makes a VerifyError.
func failed(c Check, format string, args ...any) error {
	return &VerifyError{Check: c, Message: fmt.Sprintf(format, args...)}
}

// failedIn makes a VerifyError about a file of an evidence zip.
func failedIn(file string, c Check, format string, args ...any) *VerifyError {
	return &VerifyError{Check: c, File: file, Message: fmt.Sprintf(format, args...)}
}

func (e *VerifyError) onLine(line uint64) *VerifyError { e.Line = line; return e }

func (e *VerifyError) of(seq uint64) *VerifyError { e.Seq = &seq; return e }

func (e *VerifyError) at(field string) *VerifyError { e.Field = field; return e }
