// Package verifypage has the page that is inside evidence zips and verifies them:
// one file, opened from disk, that reaches no network and needs no server.
//
// verify.html is made of page.html, page.css, evidence.js, page.js and what the
// pages of the product share with it: verify-core.js and 10-base.css of
// internal/web. "go generate ./internal/export/verifypage" makes it again, and a
// test compares. Its policy (CSP) allows its own script and style, by their
// hashes, and nothing else.
//
// What the page checks, and the sentences that it says, are those of
// audit.VerifyEvidence: a test of package audit compares them on every zip that it
// has, sound and altered.
package verifypage

import _ "embed"

//go:generate go test -run TestPage . -update

//go:embed verify.html
var page []byte

// HTML is the page. The caller must not change it.
func HTML() []byte { return page }
