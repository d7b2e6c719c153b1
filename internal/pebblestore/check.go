package pebblestore

import (
	"context"
	"errors"
)

// Check is under construction.
func (s *Store) Check(ctx context.Context, report func(error)) error { return errors.Join() }
