package sink

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// shelves is a store of five pages with two batches each. fails says what asking
// for a page gives the nth time, nil being the page.
type shelves struct {
	asked []string
	tries map[string]int
	fails func(ctx context.Context, token string, nth int) *Error
}

func (s *shelves) page(ctx context.Context, token string) ([]Held, string, *Error) {
	s.asked = append(s.asked, token)
	s.tries[token]++
	if e := s.fails(ctx, token, s.tries[token]); e != nil {
		return nil, "", e
	}
	n := len(token)
	next := token + "+"
	if n == 4 {
		next = ""
	}
	return []Held{{First: uint64(2 * n)}, {First: uint64(2*n + 1)}}, next, nil
}

// list goes over the pages: what was found, for how long, and the error.
func (s *shelves) list(ctx context.Context) (found int, took time.Duration, err error) {
	s.tries = map[string]int{}
	began := time.Now()
	for h, err := range listing(ctx, s.page) {
		if err != nil {
			return found, time.Since(began), err
		}
		if h.First != uint64(found) {
			return found, time.Since(began), fmt.Errorf("%d comes after %d batches", h.First, found)
		}
		found++
	}
	return found, time.Since(began), nil
}

// TestListing lists stores that fail now and then, for good, and that drip.
func TestListing(t *testing.T) {
	passing := func(class Class, after time.Duration) *Error {
		return &Error{Class: class, RetryAfter: after, Message: "busy"}
	}
	tests := map[string]struct {
		fails       func(ctx context.Context, token string, nth int) *Error
		found       int
		asked       int
		least, most time.Duration
	}{
		"no fault": {func(context.Context, string, int) *Error { return nil }, 10, 5, 0, 0},
		"each page once": {func(_ context.Context, _ string, nth int) *Error {
			if nth == 1 {
				return passing(Retry, 0)
			}
			return nil
		}, 10, 10, 0, 5 * time.Second},
		"asked for less": {func(_ context.Context, token string, nth int) *Error {
			if token == "++" && nth < 3 {
				return passing(RateLimited, 40*time.Second)
			}
			return nil
		}, 10, 7, 80 * time.Second, 80 * time.Second},
		"for longer than one waits": {func(_ context.Context, token string, _ int) *Error {
			if token == "++" {
				return passing(RateLimited, time.Hour)
			}
			return nil
		}, 4, 3, 0, 0},
		"for good": {func(_ context.Context, token string, _ int) *Error {
			if token == "+" {
				return &Error{Class: Invalid, Message: "busy"}
			}
			return nil
		}, 2, 2, 0, 0},
		"again and again": {func(_ context.Context, token string, _ int) *Error {
			if token == "+++" {
				return passing(Retry, 0)
			}
			return nil
		}, 6, 3 + pageTries, 0, 31 * time.Second},
		"dripping": {func(ctx context.Context, token string, _ int) *Error {
			if token == "+" {
				<-ctx.Done()
				return passing(Retry, 0)
			}
			return nil
		}, 2, 1 + pageTries, pageTries * pageTime, pageTries*pageTime + 31*time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &shelves{fails: tt.fails}
				found, took, err := s.list(t.Context())
				if found != tt.found || len(s.asked) != tt.asked || took < tt.least || took > tt.most || (err != nil) != (found < 10) {
					t.Errorf("found %d, asked %q, took %s, error %v", found, s.asked, took, err)
				}
				if e, ok := errors.AsType[*Error](err); err != nil && (!ok || e.Message != "busy") {
					t.Errorf("the error is %v", err)
				}
			})
		})
	}
}

// TestListingEnds holds that nobody waits for a store after the work was given up.
func TestListingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		s := &shelves{fails: func(context.Context, string, int) *Error {
			return &Error{Class: Retry, RetryAfter: 50 * time.Second, Message: "busy"}
		}}
		if found, took, err := s.list(ctx); found != 0 || took != 90*time.Second || err == nil || len(s.asked) != 2 {
			t.Errorf("found %d, asked %q, took %s, error %v", found, s.asked, took, err)
		}
	})
	s := &shelves{tries: map[string]int{}, fails: func(context.Context, string, int) *Error { return nil }}
	for _, err := range listing(t.Context(), s.page) {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	if len(s.asked) != 1 {
		t.Errorf("%q were asked for after the listing was left", s.asked)
	}
}
