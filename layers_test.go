// Package stele_test holds the shape of the tree: which package may import
// which, and how long a file and a function may grow. It parses the sources
// itself, because the cache of go test sees the files that a test opens but not
// those that a program it starts would open.
package stele_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "github.com/stelehq/stele"

	maxFileLines = 600
	maxFuncLines = 100

	// every, in a row's imports, means each package of the rows above it.
	every = "*"
)

// A layer is one package of the module and what it may import. Anything in the
// standard library is free but for guardedStd.
type layer struct {
	pkg     string   // folder, from the root of the module
	why     string   // what the package is for: the reason that it exists
	imports []string // packages of this module, by folder
	outside []string // packages of other modules (those below them included), and of guardedStd
	inTests []string // what its test files may import besides, and besides testOutside
}

// layers is the authority on the packages of this module. A row may name only
// packages of rows above it, so imports go one way. To add a package, add a row
// where it belongs, with its reason. Rows of packages that are yet to come do no
// harm.
var layers = []layer{
	{
		pkg:     "audit",
		why:     "the vocabulary, the client and offline verification: a product imports it, so it brings next to nothing",
		outside: []string{"golang.org/x/mod/sumdb", "net/http"},
		inTests: []string{"os", "os/exec"}, // the page that verifies evidence runs beside
	},

	// What an entry is, and where it is ordered.
	{
		pkg:     "internal/event/eventtest",
		why:     "random events, valid and as nasty as valid events get, for the tests of what stores, searches or sends them",
		imports: []string{"audit"},
		outside: []string{"pgregory.net/rapid"},
	},
	{
		pkg:     "internal/event",
		why:     "one event in its encodings: JSON in and out, stored row, canonical record and details",
		imports: []string{"audit"},
		outside: []string{"github.com/go-json-experiment/json"},
	},
	{
		pkg:     "internal/catalog",
		why:     "small records over a compare-and-set store: organizations, keys, schemas, streams, exports, holds",
		imports: []string{"audit"},
		outside: []string{"github.com/go-json-experiment/json"},
	},
	{
		pkg:     "internal/ledger",
		why:     "orders events into one Merkle log per organization; knows no store, only the seam",
		imports: []string{"audit", "internal/event", "internal/catalog"},
		outside: []string{"golang.org/x/mod/sumdb"},
	},
	{
		pkg:     "internal/search",
		why:     "the seam that every search engine implements, its order, its cursor and what matching means",
		imports: []string{"audit", "internal/event"},
	},
	{
		pkg:     "internal/search/searchtest",
		why:     "random queries out of what entries hold, for the tests of every engine",
		imports: []string{"audit", "internal/search"},
		outside: []string{"pgregory.net/rapid"},
	},
	{
		pkg:     "internal/schema",
		why:     "compiles schemas, checks events, says whether a new version is compatible",
		imports: []string{"audit", "internal/event", "internal/catalog"},
		outside: []string{"github.com/go-json-experiment/json"},
	},
	{
		pkg:     "internal/block",
		why:     "columns of entries: bytes in, bytes out, so that it can be fuzzed and read without a store",
		imports: []string{"internal/event"},
		outside: []string{"github.com/klauspost/compress"},
		inTests: []string{"audit"},
	},
	{
		pkg:     "internal/blockquery",
		why:     "answers a query about one block of columns; no I/O, so that it is tested against Query.Match without a store",
		imports: []string{"audit", "internal/event", "internal/search", "internal/block"},
	},

	// Adapters: each alone knows its engine, and none knows another.
	{
		pkg:     "internal/pebblestore",
		why:     "the embedded store: Pebble rows sealed into blocks",
		imports: []string{"audit", "internal/event", "internal/ledger", "internal/search", "internal/catalog", "internal/block", "internal/blockquery"},
		outside: []string{"github.com/cockroachdb/pebble/v2", "github.com/klauspost/compress", "golang.org/x/mod/sumdb", "os", "syscall"},
	},
	{
		pkg:     "internal/pgstore",
		why:     "the PostgreSQL store, for any number of servers",
		imports: []string{"audit", "internal/event", "internal/ledger", "internal/search", "internal/catalog"},
		outside: []string{"github.com/jackc/pgx/v5", "golang.org/x/mod/sumdb"},
	},
	{
		pkg:     "internal/clickhouse",
		why:     "a searchable copy fed as a follower; decides nothing",
		imports: []string{"audit", "internal/event", "internal/ledger", "internal/search"},
		outside: []string{"github.com/ClickHouse/clickhouse-go/v2"},
	},
	{
		pkg:     "internal/storetest",
		why:     "the promises of a store as a test suite, and the in-memory store they are read from",
		imports: []string{"audit", "internal/event", "internal/event/eventtest", "internal/ledger", "internal/search", "internal/search/searchtest", "internal/catalog"},
		outside: []string{"testing", "pgregory.net/rapid", "github.com/google/go-cmp", "golang.org/x/mod/sumdb"},
	},

	// What is done with a log.
	{
		pkg:     "internal/auth",
		why:     "who asks, for which organization, allowed what",
		imports: []string{"audit", "internal/catalog"},
		outside: []string{"net/http", "github.com/go-json-experiment/json", "github.com/coreos/go-oidc/v3"},
	},
	{
		pkg: "internal/export/verifypage",
		why: "the page inside evidence zips that verifies them: one file, made of parts, that needs no server",
	},
	{
		pkg:     "internal/export",
		why:     "files made from searches, resumable",
		imports: []string{"audit", "internal/event", "internal/ledger", "internal/search", "internal/catalog"},
		outside: []string{"os", "syscall", "golang.org/x/mod/sumdb", "github.com/klauspost/compress"},
	},
	{
		pkg:     "internal/erasure",
		why:     "takes a person out of a log and out of what the server keeps beside it; resumable, so that it is whole or goes on",
		imports: []string{"audit", "internal/event", "internal/ledger", "internal/search", "internal/catalog"},
		inTests: []string{"internal/pebblestore"}, // its search finds whom to erase
	},
	{
		pkg:     "internal/retention",
		why:     "how long entries are kept, legal holds, and the job that removes what is past its time",
		imports: []string{"audit", "internal/event", "internal/ledger", "internal/search", "internal/catalog"},
		inTests: []string{"internal/pebblestore", "golang.org/x/mod/sumdb"},
	},
	{
		pkg: "internal/stream/format/ocsf",
		why: "the classes of OCSF by version, as tables, and a check of events against them; the mapping may know no more than these",
	},
	{
		pkg:     "internal/stream/format",
		why:     "one event in the forms that receivers of streams read: bytes only, so that each is checked without a server",
		imports: []string{"audit", "internal/event", "internal/stream/format/ocsf"},
		inTests: []string{"go.opentelemetry.io/proto/slim/otlp", "google.golang.org/protobuf"},
	},
	{
		pkg:     "internal/stream/format/securitylake",
		why:     "batches as Parquet files of OCSF; apart because the Parquet library is larger than all other formats",
		imports: []string{"internal/stream/format"},
		outside: []string{"github.com/parquet-go/parquet-go"},
		inTests: []string{"audit", "internal/event", "internal/stream/format/ocsf"},
	},
	{
		pkg:     "internal/egress",
		why:     "connects to addresses that customers give, and to none that only the server should reach: one place to trust",
		outside: []string{"net", "net/http", "syscall"},
	},
	{
		pkg:     "internal/stream/sink",
		why:     "the destinations of streams, one file each; what to do about a failure is not theirs to say",
		imports: []string{"audit", "internal/event", "internal/egress", "internal/stream/format", "internal/stream/format/securitylake"},
		outside: []string{"net", "net/http", "syscall", "github.com/klauspost/compress", "github.com/minio/minio-go", "github.com/twmb/franz-go"},
		inTests: []string{
			"github.com/standard-webhooks/standard-webhooks", "github.com/rclone/gofakes3",
			"go.opentelemetry.io/proto/slim/otlp", "google.golang.org/protobuf", "github.com/parquet-go/parquet-go",
		},
	},
	{
		pkg:     "internal/stream",
		why:     "followers that deliver to a customer's own systems",
		imports: []string{"audit", "internal/event", "internal/search", "internal/catalog", "internal/stream/format", "internal/stream/sink"},
		outside: []string{"net"},
	},
	{
		pkg:     "internal/witness",
		why:     "has checkpoints counter-signed by somebody else's witnesses; apart from the ledger, which waits for nobody",
		imports: []string{"audit", "internal/catalog"},
		outside: []string{"net/http", "golang.org/x/mod/sumdb"},
		inTests: []string{"internal/storetest"},
	},
	{
		pkg:     "internal/demo",
		why:     "a believable organization's year of events, from the catalogue",
		imports: []string{"audit", "internal/event", "internal/ledger", "internal/schema", "internal/catalog"},
	},
	{
		pkg:     "internal/workload",
		why:     "the deterministic events and queries that stele bench and benchmarks measure with",
		imports: []string{"audit"},
	},

	// HTTP. The three faces share a server, and never import each other.
	{
		pkg:     "internal/server",
		why:     "what every route shares: who asks for which organization, problem documents, metrics, the log",
		imports: []string{"audit", "internal/catalog", "internal/auth"},
		outside: []string{
			"net", "net/http", "github.com/go-json-experiment/json", "github.com/klauspost/compress", "github.com/prometheus/client_golang",
		},
	},
	{
		pkg:     "internal/server/servertest",
		why:     "asks every route as those who may not use it, for the tests of all faces",
		imports: []string{"internal/auth", "internal/server"},
		outside: []string{"net/http", "testing"},
	},
	{
		pkg: "internal/api",
		why: "the native JSON API under /v1",
		imports: []string{
			"audit", "internal/event", "internal/ledger", "internal/search", "internal/schema", "internal/catalog",
			"internal/auth", "internal/export", "internal/erasure", "internal/retention", "internal/stream", "internal/server",
		},
		outside: []string{"net/http", "github.com/go-json-experiment/json", "golang.org/x/mod/sumdb"},
		inTests: []string{
			"internal/stream/format", "internal/stream/sink",
			"net", "github.com/getkin/kin-openapi", "github.com/klauspost/compress",
		},
	},
	{
		pkg: "internal/workos",
		why: "the drop-in API at the root path, for products that already send events",
		imports: []string{
			"audit", "internal/event", "internal/ledger", "internal/search", "internal/schema", "internal/catalog",
			"internal/auth", "internal/export", "internal/erasure", "internal/retention", "internal/stream", "internal/server",
		},
		outside: []string{"net/http", "github.com/go-json-experiment/json"},
	},
	{
		pkg:     "internal/web/words",
		why:     "entries as people read them: sentences, marks, changes, times; pure, so that every action can be tested",
		imports: []string{"audit"},
		outside: []string{"github.com/mileusna/useragent"},
	},
	{
		pkg:     "internal/web/logview",
		why:     "what the address of the list says and how its links change it, and where the bars of its histogram stand: pure, so that it is tested without a server",
		imports: []string{"audit", "internal/event", "internal/search"},
	},
	{
		pkg:     "internal/web/complete",
		why:     "which term of a filter is being typed and what may come next: pure, so that it is tested without an engine",
		imports: []string{"audit", "internal/search"},
	},
	{
		pkg: "internal/web/palette",
		why: "makes a product's accent colour legible: arithmetic on colours, and nothing else",
	},
	{
		pkg: "internal/web",
		why: "server-rendered pages",
		imports: []string{
			"audit", "internal/event", "internal/ledger", "internal/search", "internal/schema", "internal/catalog",
			"internal/auth", "internal/export", "internal/erasure", "internal/retention", "internal/server",
			"internal/stream", "internal/stream/sink", // the table of settings that forms are made from
			"internal/web/words", "internal/web/logview", "internal/web/complete", "internal/web/palette",
		},
		outside: []string{"net/http", "html/template"},
		inTests: []string{"golang.org/x/net/html", "os", "syscall"},
	},

	// Wiring.
	{
		pkg:     "internal/app",
		why:     "opens a store and starts a server on it, the same for serve, demo and tests",
		imports: []string{every},
		outside: []string{"net", "net/http", "os", "syscall", "github.com/prometheus/client_golang"},
		inTests: []string{
			"github.com/klauspost/compress",     // what is in files is looked for inside compressed parts too
			"golang.org/x/mod/sumdb", "os/exec", // a server that is killed, and what its checkpoints prove
		},
	},
	{
		pkg:     "internal/web/browsertest",
		why:     "people on the pages, in a real browser, on whole servers",
		imports: []string{every},
	},
	{
		pkg:     "cmd/stele",
		why:     "the one binary: flags, environment, exit codes",
		imports: []string{every},
		outside: []string{
			"net", "net/http", "os", "os/exec", "syscall", "github.com/alecthomas/kong", "github.com/prometheus/client_golang",
			"golang.org/x/mod/sumdb", "golang.org/x/sys", "golang.org/x/term",
		},
	},
	{
		pkg: ".",
		why: "the root holds this test and no code",
	},
}

// guardedStd are the packages of the standard library that reach the outside
// world or the compiler's back door: a row names those it uses, so that what
// only computes stays so.
var guardedStd = []string{
	"database/sql", "html/template", "net", "net/http", "os", "os/exec", "plugin", "syscall", "testing", "unsafe",
}

// testOutside may be imported by the test files of every package.
var testOutside = []string{
	"internal/event/eventtest", "internal/search/searchtest", "internal/storetest", "internal/server/servertest", "internal/app", "internal/demo", "internal/workload",
	"pgregory.net/rapid", "github.com/google/go-cmp", "github.com/rogpeppe/go-internal",
}

// apart are packages of which none may import another, even where the order of
// the rows would let it.
var apart = []struct {
	pkgs []string
	why  string
}{
	{[]string{"internal/pebblestore", "internal/pgstore", "internal/clickhouse"}, "an adapter knows its own engine only"},
	{[]string{"internal/api", "internal/workos", "internal/web"}, "each face of the server can be read and changed alone"},
}

// soleUser names the one package that knows a module. Tests may use it too
// where a row's inTests says so.
var soleUser = map[string]string{
	"github.com/alecthomas/kong":    "cmd/stele",
	"github.com/ClickHouse":         "internal/clickhouse",
	"github.com/cockroachdb/pebble": "internal/pebblestore",
	"github.com/coreos/go-oidc":     "internal/auth",
	"github.com/jackc/pgx":          "internal/pgstore",
}

// TestLayerTable holds the table to its own rules.
func TestLayerTable(t *testing.T) {
	above := map[string]bool{}
	for _, l := range layers {
		if l.why == "" {
			t.Errorf("%s: say in a sentence why the package exists", l.pkg)
		}
		if above[l.pkg] {
			t.Errorf("%s: has two rows", l.pkg)
		}
		for _, imp := range l.imports {
			if imp != every && !above[imp] {
				t.Errorf("%s: may import %s only if that has a row above: imports go one way", l.pkg, imp)
			}
		}
		for _, imp := range slices.Concat(l.imports, l.inTests) {
			for _, group := range apart {
				if slices.Contains(group.pkgs, l.pkg) && slices.Contains(group.pkgs, imp) {
					t.Errorf("%s: may not import %s: %s", l.pkg, imp, group.why)
				}
			}
		}
		for _, out := range l.outside {
			for mod, user := range soleUser {
				if within(out, mod) && l.pkg != user {
					t.Errorf("%s: may not import %s: only %s knows it", l.pkg, out, user)
				}
			}
		}
		above[l.pkg] = true
	}
}

// TestLayers holds the tree to the table, and each package, file and function to
// its form.
func TestLayers(t *testing.T) {
	rows := map[string]layer{}
	for _, l := range layers {
		rows[l.pkg] = l
	}
	tree := sources(t)
	for _, dir := range slices.Sorted(maps.Keys(tree)) {
		files := tree[dir]
		row, ok := rows[dir]
		if !ok {
			t.Errorf("%s is not in the table of layers_test.go: add a row that says why it exists and what it may import", dir)
			continue
		}
		for _, f := range files {
			for _, fault := range append(f.importFaults(row), f.sizeFaults()...) {
				t.Error(fault)
			}
		}
		if fault := commentFault(dir, files); fault != "" {
			t.Error(fault)
		}
	}
}

// source is one parsed file.
type source struct {
	name string // from the root of the module
	test bool
	fset *token.FileSet
	file *ast.File
}

// importFaults says which of a file's imports its row does not allow.
func (s source) importFaults(row layer) []string {
	var faults []string
	for _, spec := range s.file.Imports {
		imp, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return []string{s.at(spec, "import path: %v", err)}
		}
		if !row.allows(imp, s.test) {
			faults = append(faults, s.at(spec, "%s may not import %s: its row in layers_test.go does not name it (%s)",
				row.pkg, imp, row.why))
		}
	}
	return faults
}

// allows reports whether the package, or a test file of it, may import imp.
func (l layer) allows(imp string, test bool) bool {
	if folder, ok := strings.CutPrefix(imp, module+"/"); ok {
		imp = folder
		switch {
		case imp == l.pkg: // an external test
			return test
		case slices.Contains(l.imports, every):
			return aboveRow(imp, l.pkg)
		case slices.Contains(l.imports, imp):
			return true
		}
		return test && (slices.Contains(testOutside, imp) || slices.Contains(l.inTests, imp))
	}
	std := !strings.Contains(strings.Split(imp, "/")[0], ".")
	if std && (test || !slices.Contains(guardedStd, imp)) {
		return true
	}
	in := func(list []string) bool {
		return slices.ContainsFunc(list, func(allowed string) bool { return imp == allowed || !std && within(imp, allowed) })
	}
	return in(l.outside) || test && (in(testOutside) || in(l.inTests))
}

// sizeFaults says whether a file that is no test is too long, and which of its
// functions are.
func (s source) sizeFaults() []string {
	if s.test || ast.IsGenerated(s.file) {
		return nil
	}
	var faults []string
	if n := s.fset.File(s.file.FileStart).LineCount(); n > maxFileLines {
		faults = append(faults, fmt.Sprintf("%s: %d lines, more than %d: it holds two things, give each its file", s.name, n, maxFileLines))
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n.(type) {
		case *ast.FuncDecl, *ast.FuncLit:
		default:
			return true
		}
		if lines := s.fset.Position(n.End()).Line - s.fset.Position(n.Pos()).Line + 1; lines > maxFuncLines {
			faults = append(faults, s.at(n, "a function of %d lines, more than %d: name its steps", lines, maxFuncLines))
		}
		return false
	})
	return faults
}

// commentFault says whether a package lacks a comment that tells what it is.
func commentFault(dir string, files []source) string {
	onlyTests := true
	for _, s := range files {
		if s.test {
			continue
		}
		onlyTests = false
		if doc := s.file.Doc.Text(); s.file.Name.Name == "main" && doc != "" || strings.HasPrefix(doc, "Package "+s.file.Name.Name+" ") {
			return ""
		}
	}
	if onlyTests {
		return ""
	}
	return fmt.Sprintf("%s: no file begins with a comment \"Package %s …\" that says what the package is for", dir, path.Base(dir))
}

// at is a fault with its place.
func (s source) at(n ast.Node, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: %s", s.name, s.fset.Position(n.Pos()).Line, fmt.Sprintf(format, args...))
}

// aboveRow reports whether imp has a row above that of pkg.
func aboveRow(imp, pkg string) bool {
	for _, l := range layers {
		switch l.pkg {
		case pkg:
			return false
		case imp:
			return true
		}
	}
	return false
}

// within reports whether an import path is root or below it.
func within(imp, root string) bool {
	return imp == root || strings.HasPrefix(imp, root+"/")
}

// sources parses every Go file of the module, whatever its build constraints,
// by folder. Nested modules are not the module's, and folders that the go
// command does not look into are left out here too.
func sources(t *testing.T) map[string][]source {
	t.Helper()
	tree := map[string][]source{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != "." && skipped(name) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_") {
			return nil
		}
		s := source{name: filepath.ToSlash(name), test: strings.HasSuffix(name, "_test.go"), fset: token.NewFileSet()}
		s.file, err = parser.ParseFile(s.fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		dir := path.Dir(s.name)
		tree[dir] = append(tree[dir], s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// skipped reports whether a folder holds no package of the module.
func skipped(name string) bool {
	base := filepath.Base(name)
	if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || slices.Contains([]string{"testdata", "node_modules", "bin"}, base) {
		return true
	}
	_, err := os.Stat(filepath.Join(name, "go.mod"))
	return err == nil
}
