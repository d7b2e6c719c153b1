// Command benchpeers runs Stele and PostgreSQL side by side: the same events,
// the same questions, step by step in turns on the same machine, and prints one
// table with the ratios. Every answer of the one is compared with that of the
// other. What it starts it stops, what it writes it removes.
//
// It is a module of its own so that a driver which the product does not need
// stays out of the product's go.mod. docs/performance.md says how to run it and
// what to make of it.
package main
