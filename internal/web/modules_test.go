package web

import (
	"strings"
	"testing"
)

// TestModules: what a script imports has the address that a page would load it
// under, and that changes with everything below it.
func TestModules(t *testing.T) {
	load := func(leaf string) *assets {
		a := &assets{byName: map[string]asset{}}
		a.add("js/top.js", []byte(`import { x } from "./middle.js"; import './leaf.js'; const y = import("./leaf.js"); from("./no.txt");`))
		a.add("js/middle.js", []byte("import {z}\nfrom \"./leaf.js\";"))
		a.add("js/leaf.js", []byte(leaf))
		a.linkModules()
		return a
	}
	a := load("1")
	want := `import { x } from "` + a.url("js/middle.js") + `"; import '` + a.url("js/leaf.js") + `'; const y = import("` + a.url("js/leaf.js") + `"); from("./no.txt");`
	if got := string(a.byName["js/top.js"].data); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if b := load("2"); b.url("js/top.js") == a.url("js/top.js") || b.url("js/middle.js") == a.url("js/middle.js") {
		t.Error("a changed script has the same users")
	}
	for name, text := range map[string]string{"circle": `import "./top.js"`, "nobody": `import "./gone.js"`} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			load(text)
		}()
	}
}

// TestImports: no script of the pages is left with an import that has no hash.
func TestImports(t *testing.T) {
	a := loadAssets(files, "")
	for name, found := range a.byName {
		if strings.HasSuffix(name, ".js") && importOf.Match(found.data) {
			t.Errorf("%s: %s", name, importOf.Find(found.data))
		}
	}
}
