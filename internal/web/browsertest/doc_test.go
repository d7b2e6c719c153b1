// Package browsertest uses the pages as people do, in Debian's Chromium.
//
// The Go side opens whole servers in its own process, so that they run under the
// race detector, and fills them. What people do is written down in
// testdata/tests, for Playwright; those programs have the API with the root key
// and a control address, which does what no client can: move a server's clock,
// make its searches fail, open another server.
//
// CONTRIBUTING.md says how to run one of the tests, and how to watch it.
package browsertest
