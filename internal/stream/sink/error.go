package sink

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Class is what kind of failure an [Error] is: it decides what the engine does.
type Class int

// The classes of failure.
const (
	// Retry is a fault that will pass: timeouts, connections, DNS, TLS, 5xx,
	// 408, 425. The same batch is sent again.
	Retry Class = iota
	// RateLimited is the receiver asking for less: 429, 503 with Retry-After.
	// The same batch is sent again, and smaller batches follow for a while.
	RateLimited
	// TooLarge says that fewer events would be taken: 413. The batch is
	// halved, down to one event, which goes to the dead letters.
	TooLarge
	// Malformed says that the receiver refused the batch for what is in it,
	// and not which event: 400, 422. The batch is halved as for TooLarge.
	Malformed
	// Rejected names the events that the receiver refused for good, in
	// Error.Rejected. They go to the dead letters.
	Rejected
	// Invalid says that credentials or settings are wrong: 401, 403, 404, an
	// unknown index or topic, a redirect. Nothing is dropped; the engine asks
	// again slowly until the owner has changed something.
	Invalid
	// Permanent says that the receiver wants no more: 410. As Invalid, but the
	// engine does not ask again by itself.
	Permanent
)

// String names the class, as history and API do.
func (c Class) String() string {
	switch c {
	case Retry:
		return "retry"
	case RateLimited:
		return "rate_limited"
	case TooLarge:
		return "too_large"
	case Malformed:
		return "malformed"
	case Rejected:
		return "rejected"
	case Invalid:
		return "invalid"
	case Permanent:
		return "permanent"
	default:
		return fmt.Sprintf("class(%d)", int(c))
	}
}

// Error is why a batch was not delivered. Its texts are read by the stream's
// owner: they say what to do, and never hold a secret, a URL with one, or more
// of an answer than [Excerpt] lets through.
type Error struct {
	Class Class
	// Code is a short stable name for this failure of this kind of
	// destination, such as "token_disabled"; "" when there is none.
	Code string
	// Message is what happened and what to do about it, in a sentence.
	Message string
	// RetryAfter is how long the receiver asked to wait; 0 when it did not.
	RetryAfter time.Duration
	// Rejected are the refused events, for class Rejected.
	Rejected []Rejection
	// RestTaken says, for class Rejected, that the receiver has acknowledged
	// all other events of the batch. Otherwise these are sent again without
	// the rejected ones.
	RestTaken bool
	// Err is the cause for the server's log; it may be nil.
	Err error
}

// Rejection is one event that a receiver refused, with its own words.
type Rejection struct {
	// Index is the place in Batch.Events.
	Index int
	// Code and Text are the receiver's, Text being an [Excerpt].
	Code, Text string
}

// Errorf makes an error of a class.
func Errorf(class Class, code, format string, args ...any) *Error {
	return &Error{Class: class, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Error gives the message and nothing of the cause.
func (e *Error) Error() string { return e.Message }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// AsError returns err as an Error; one that is none is of class Retry, with
// words that tell nothing of it, since it could hold anything.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Class: Retry, Message: "The destination could not be reached.", Err: err}
}

// maxExcerpt bounds what is kept of a receiver's words, in bytes.
const maxExcerpt = 512

// Excerpt makes what a receiver said fit to be kept and shown: its beginning,
// valid UTF-8, in one line, without control characters, and with the secrets
// replaced.
func Excerpt(text string, secrets ...string) string {
	const window = 4 * maxExcerpt
	for _, s := range secrets {
		if len(s) >= 4 {
			text = strings.ReplaceAll(text, s, "[secret]")
		}
	}
	text = text[:min(len(text), window)]
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= maxExcerpt {
		return text
	}
	return strings.ToValidUTF8(text[:maxExcerpt-len("…")], "") + "…"
}
