// Package c2sptest holds the log to what others made for such logs: it has the
// served log checked by Tessera's fsck and read by its client, and its checkpoints
// signed by litewitness, a witness that others run. It is a module of its own so
// that what they need stays out of Stele's.
package c2sptest
