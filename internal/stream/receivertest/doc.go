// Package receivertest runs log streams against receivers that others wrote: the
// OpenTelemetry Collector, an S3 server that checks signatures, rsyslog, the
// Standard Webhooks and Svix libraries, and more. The engine, the ledger and the
// store are the real ones. In each, events arrive once, in order and unaltered, a
// wrong secret is noticed and said, and a receiver that goes away and comes back
// misses nothing.
//
// It is a module of its own so that what only these tests need stays out of the
// product's go.mod. Receivers written in Go are built once into bin/ by make deps,
// out of the modules below receivers/; those for Node.js are in node/; rsyslog and
// liblognorm come with the system. All of it listens on the loopback interface and
// ends with its test.
package receivertest
