// Package pebblestore keeps the logs of all organizations, and the catalog, in
// one Pebble database in the data directory.
package pebblestore
