// Package sdktest runs the published SDKs of WorkOS, unchanged, against the
// real server: it builds cmd/stele, starts it on a loopback port, and has no way
// to it but HTTP. It is a module of its own so that the SDKs stay out of the
// product's go.mod.
//
// Its tests run what docs/migrating-from-workos.md shows, too, and the node SDKs
// of ../testdata/node.
package sdktest
