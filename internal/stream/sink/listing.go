package sink

import (
	"context"
	"iter"
	"math/rand/v2"
	"time"
)

const (
	// pageTime bounds one request for a page of a listing: a store that drips
	// must not hold a reconciliation for hours.
	pageTime = time.Minute
	// A page that fails for a while is asked for again, after pauses with full
	// jitter that double from firstPageWait, or after what the store says, if
	// that is no more than maxPageWait.
	pageTries     = 6
	firstPageWait = time.Second
	maxPageWait   = time.Minute
)

// pageOf asks a store for one page of a listing: the first one when token is "".
// next is what to ask for the page after it with, "" when there is none.
type pageOf func(ctx context.Context, token string) (held []Held, next string, e *Error)

// listing goes over all pages. A listing of a million objects is a thousand
// requests: one that fails does not end it, unless it fails for good.
func listing(ctx context.Context, page pageOf) iter.Seq2[Held, error] {
	return func(yield func(Held, error) bool) {
		for token := ""; ; {
			held, next, e := patiently(ctx, page, token)
			if e != nil {
				yield(Held{}, e)
				return
			}
			for _, h := range held {
				if !yield(h, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			token = next
		}
	}
}

// patiently asks for a page until it is there, its failure is final, or too many
// have failed.
func patiently(ctx context.Context, page pageOf, token string) (held []Held, next string, e *Error) {
	wait := firstPageWait
	for try := 1; ; try++ {
		held, next, e = inTime(ctx, page, token)
		if e == nil || e.Class != Retry && e.Class != RateLimited || try == pageTries || e.RetryAfter > maxPageWait {
			return held, next, e
		}
		pause := time.NewTimer(max(e.RetryAfter, rand.N(wait))) //nolint:gosec // jitter
		select {
		case <-pause.C:
			wait *= 2
		case <-ctx.Done():
			pause.Stop()
			return nil, "", e
		}
	}
}

func inTime(ctx context.Context, page pageOf, token string) ([]Held, string, *Error) {
	ctx, cancel := context.WithTimeout(ctx, pageTime)
	defer cancel()
	return page(ctx, token)
}

// unreadable is a page that is none.
func unreadable(err error) *Error {
	return &Error{Class: Retry, Code: "listing", Message: "The store's list of objects cannot be read. It will be asked again.", Err: err}
}
