// Package stream follows logs and delivers their entries to customers' own
// systems: a cursor, a filter, a format, a destination.
//
// The seam has two sides. Package format turns one entry into bytes
// ([format.Format]); package sink sends a batch of such events to one kind of
// destination ([sink.Sink]) and classifies failures ([sink.Error]). This package
// decides everything else: what is sent when, what a failure means, what is kept.
package stream
