package event

// Keys are the two random keys of a block of entries. Both are secret: Salt
// hides erased details from guessing, Check makes ids unguessable. They are
// separate so that an id says nothing about a salt.
type Keys struct {
	Salt  [16]byte
	Check [16]byte
}
