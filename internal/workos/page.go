package workos

import (
	"slices"
	"strconv"

	"github.com/stelehq/stele/internal/server"
)

// Sizes of a page.
const (
	defaultLimit = 10
	maxLimit     = 100
)

// page is what part of a list is asked for.
type page struct {
	limit      int
	descending bool
	// after and before are cursors: the page begins after, or ends before,
	// that place in the order of the list. At most one is set.
	after, before string
	// swapped says that the caller's "before" means after, and the other way
	// round: that is the order "normal", newest first with the cursors of
	// oldest first.
	swapped bool
}

// readPage reads the parameters of a list. Empty ones are absent.
func readPage(r *server.Request) (page, error) {
	q := r.URL.Query()
	p := page{limit: defaultLimit, after: q.Get("after"), before: q.Get("before")}
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxLimit {
			return p, unprocessable(fault{Field: "limit", Message: "must be a number from 1 to " + strconv.Itoa(maxLimit)})
		}
		p.limit = n
	}
	switch q.Get("order") {
	case "", "desc":
		p.descending = true
	case "asc":
	case "normal":
		p.descending, p.swapped = true, true
		p.after, p.before = p.before, p.after
	default:
		return p, unprocessable(fault{Field: "order", Message: "must be asc, desc or normal"})
	}
	if p.after != "" && p.before != "" {
		return p, unprocessable(fault{Field: "before", Message: "cannot be given together with after"})
	}
	return p, nil
}

// list is the answer of every list.
type list[T any] struct {
	Object   string       `json:"object"`
	Data     []T          `json:"data"`
	Metadata listMetadata `json:"list_metadata"`
}

// listMetadata are the cursors of the pages on both sides, nil where the list
// ends.
type listMetadata struct {
	Before *string `json:"before"`
	After  *string `json:"after"`
}

// newList makes the answer of one page. An empty cursor means that the list ends
// there.
func newList[T any](p page, data []T, before, after string) list[T] {
	if data == nil {
		data = []T{}
	}
	if p.swapped {
		before, after = after, before
	}
	return list[T]{Object: "list", Data: data, Metadata: listMetadata{Before: pointerTo(before), After: pointerTo(after)}}
}

func pointerTo(cursor string) *string {
	if cursor == "" {
		return nil
	}
	return &cursor
}

// window cuts a page out of a whole list, which is in the order asked for.
func window[T any](p page, all []T, cursor func(T) string) (list[T], error) {
	start, end := 0, min(len(all), p.limit)
	if at := p.after + p.before; at != "" {
		i := slices.IndexFunc(all, func(item T) bool { return cursor(item) == at })
		if i < 0 {
			name := "after"
			if (p.before != "") != p.swapped {
				name = "before"
			}
			return list[T]{}, unprocessable(fault{Field: name, Message: "is not a cursor of this list"})
		}
		if p.after != "" {
			start, end = i+1, min(len(all), i+1+p.limit)
		} else {
			start, end = max(0, i-p.limit), i
		}
	}
	before, after := "", ""
	if start > 0 && start < end {
		before = cursor(all[start])
	}
	if end < len(all) && start < end {
		after = cursor(all[end-1])
	}
	return newList(p, all[start:end], before, after), nil
}
