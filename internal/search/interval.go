package search

import "time"

// Interval divides time into the buckets of a histogram.
type Interval struct {
	unit  unit
	count int
	zone  *time.Location
}

type unit byte

// ParseInterval reads an interval such as "15m", "1h", "day", "week" or "month"
// in a time zone, UTC when nil. Errors are *audit.Error.
func ParseInterval(text string, zone *time.Location) (Interval, error) { panic("unfinished") }

// String is the interval as text.
func (iv Interval) String() string { panic("unfinished") }

// Start returns the start of the bucket that t is in, in the interval's zone.
func (iv Interval) Start(t time.Time) time.Time { panic("unfinished") }

// Next returns the start of the bucket after the one that t is in.
func (iv Interval) Next(t time.Time) time.Time { panic("unfinished") }
