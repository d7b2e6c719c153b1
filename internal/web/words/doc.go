// Package words says in plain English what an entry is about: the sentence made
// of its action and targets, the marks that make it easy to spot, what changed
// from what to what, which browser was used, how long ago it was. It reads
// entries and returns values: no page, no clock, no I/O. Nothing in it knows the
// actions of one product.
package words
