package verifypage_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stelehq/stele/internal/export/verifypage"
)

var update = flag.Bool("update", false, "write verify.html")

const shared = "../../web/static/"

// TestPage holds that verify.html is made of its parts as they are, and that its
// policy allows exactly what is in it.
func TestPage(t *testing.T) {
	want := build(t)
	if *update {
		if err := os.WriteFile("verify.html", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(verifypage.HTML(), want) {
		t.Error("verify.html is not what its parts make: run go generate ./internal/export/verifypage")
	}
}

// TestPageAlone holds that the page names nothing that it would have to load.
func TestPageAlone(t *testing.T) {
	text := string(verifypage.HTML())
	for _, bad := range []string{"http://", "import ", "import(", "fetch(", "XMLHttpRequest", "WebSocket", "sendBeacon", "innerHTML", "eval(", "<link rel=\"stylesheet", "src=\""} {
		if strings.Contains(text, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	if n := len(text); n > 120<<10 {
		t.Errorf("the page has %d bytes", n)
	}
}

// build puts the page together.
func build(t *testing.T) []byte {
	t.Helper()
	read := func(name string) string {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	// The modules become one: what they import from each other is there.
	script := "\n"
	for _, name := range []string{shared + "js/verify-core.js", "evidence.js", "page.js"} {
		text := regexp.MustCompile(`(?m)^import [^;]*;\n`).ReplaceAllString(read(name), "")
		script += regexp.MustCompile(`(?m)^export `).ReplaceAllString(text, "") + "\n"
	}
	style := "\n" + read(shared+"css/10-base.css") + "\n" + read("page.css")
	for _, text := range []string{script, style} {
		if strings.Contains(text, "</s") {
			t.Fatal("a part would end its element")
		}
	}
	return []byte(strings.NewReplacer(
		"SCRIPT-HASH", hash(script), "STYLE-HASH", hash(style), "/* SCRIPT */", script, "/* STYLE */", style,
	).Replace(read("page.html")))
}

// hash is a source expression of CSP.
func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}
