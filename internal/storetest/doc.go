// Package storetest holds the promises of a store as a test suite, and the
// reference store in memory which keeps them in the plainest way.
package storetest
