package storetest

import "testing"

// Subject is a store under test.
type Subject struct {
	Store Store
	// Reopen closes the store and opens it again on the same data. It is nil
	// for a store that does not outlive its process.
	Reopen func(t testing.TB) Store
}

// Run tests everything a store promises. open returns a new, empty store each
// time and closes it by itself at the end of the test.
func Run(t *testing.T, open func(t testing.TB) Subject) {
	t.Helper()
	panic("unfinished")
}
