package web

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// importOf finds what a script imports of its own folder.
var importOf = regexp.MustCompile(`((?:from|import)\s*\(?\s*["'])\./([a-z0-9-]+\.js)(["'])`)

// linkModules gives imports the addresses that pages use, with the hash: a script
// under two addresses would be two scripts, each with its own state and its own
// listeners. A script that is not there, or a circle, is a mistake in the program.
func (a *assets) linkModules() {
	done := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(a.byName)) {
		a.linkModule(name, done, nil)
	}
}

func (a *assets) linkModule(name string, done map[string]bool, above []string) {
	if path.Ext(name) != ".js" || done[name] {
		return
	}
	if _, ok := a.byName[name]; !ok {
		panic(fmt.Sprintf("web: there is no script %s, which %s imports", name, above[len(above)-1]))
	}
	if slices.Contains(above, name) {
		panic(fmt.Sprintf("web: scripts import each other: %s, %s", strings.Join(above, ", "), name))
	}
	folder := path.Dir(name)
	data := importOf.ReplaceAllFunc(a.byName[name].data, func(found []byte) []byte {
		parts := importOf.FindSubmatch(found)
		other := path.Join(folder, string(parts[2]))
		a.linkModule(other, done, append(above, name))
		return fmt.Appendf(nil, "%s%s%s", parts[1], a.url(other), parts[3])
	})
	a.add(name, data)
	done[name] = true
}
