package web

import (
	"fmt"
	"sync"
)

// How many pages may follow logs at the same time. A browser keeps few
// connections to a server, so that whoever has more than a handful is a program.
const (
	liveSession      = 8
	liveOrganization = 64
	liveMost         = 512
)

// following counts the pages that follow a log live, so that nobody's pages keep
// those of others from it.
type following struct {
	mu            sync.Mutex
	all           int
	sessions      map[string]int
	organizations map[string]int
}

// begin counts a page in; end counts it out. full says why it may not follow.
func (f *following) begin(session, organization string) (end func(), full string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.sessions[session] >= liveSession:
		return nil, fmt.Sprintf("%d pages of your session follow already. Close one that you do not need.", liveSession)
	case f.organizations[organization] >= liveOrganization:
		return nil, fmt.Sprintf("%d pages of your organization follow already.", liveOrganization)
	case f.all >= liveMost:
		return nil, "too many pages follow on this server."
	}
	if f.sessions == nil {
		f.sessions, f.organizations = map[string]int{}, map[string]int{}
	}
	f.all++
	f.sessions[session]++
	f.organizations[organization]++
	return func() { f.end(session, organization) }, ""
}

func (f *following) end(session, organization string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all--
	drop(f.sessions, session)
	drop(f.organizations, organization)
}

// drop takes one off a count, and a count of none off the map.
func drop(counts map[string]int, key string) {
	if counts[key]--; counts[key] == 0 {
		delete(counts, key)
	}
}
