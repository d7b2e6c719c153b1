package api

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/retention"
	"github.com/stelehq/stele/internal/schema"
	"github.com/stelehq/stele/internal/server"
)

const guide = "../../docs/api.md"

// TestGuide runs the examples of docs/api.md in their order: each command must
// succeed, or answer what the text after it says.
func TestGuide(t *testing.T) {
	text, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	h := start(t, schema.ModeWarn)
	h.certify(t)
	r := &reader{h: h, vars: map[string]string{"STELE": h.url, "KEY": h.root}, used: map[string]bool{}}
	for _, block := range blocks(string(text)) {
		r.block(t, block)
	}
	for _, route := range New(Deps{}).Routes {
		if !r.used[route.Name] {
			t.Errorf("%s has no example of %s", guide, route.Name)
		}
	}
}

// certify gives the guide's organization the certificate that it shows.
func (h *host) certify(t *testing.T) {
	t.Helper()
	c := retention.Certificate{
		ID: "certificate_01KJMJ6R3V5Y2W8Q7N3T6B9C4D", Organization: "example", ToSeq: 16384, Removed: 16380, Held: 4, Policy: "365 days",
		CreatedAt: time.Date(2026, 2, 27, 3, 10, 12, 118e6, time.UTC), Oldest: time.Date(2025, 2, 20, 9, 0, 0, 2e6, time.UTC),
		Newest: time.Date(2025, 2, 26, 11, 48, 10, 870e6, time.UTC),
	}
	var err error
	c.Note, err = h.ledger.SignNote(h.ledger.Origin("example")+" destruction certificate v1\n{\"id\":\""+c.ID+"\",\"removed\":16380}\n", "example")
	if err == nil {
		err = catalog.Save(t.Context(), h.store, "retention_certificate/example/"+c.ID, c, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestGuideNamesEveryCode holds the table of errors to the server's.
func TestGuideNamesEveryCode(t *testing.T) {
	text, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := contract()
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range doc.Components.Schemas["Problem"].Value.Properties["code"].Value.Enum {
		row := fmt.Sprintf("| `%s` | %d |", code, server.StatusOf(audit.Code(code.(string))))
		if !strings.Contains(string(text), row) {
			t.Errorf("%s has no row %q", guide, row)
		}
	}
}

// block is one fenced block of the guide, or a comment that names variables.
type block struct {
	line int
	info string // "sh", "json 201", "text 200", or "set"
	text string
}

func blocks(text string) []block {
	var out []block
	var current *block
	for i, line := range strings.Split(text, "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && current == nil:
			current = &block{line: i + 1, info: fence}
		case isFence:
			out = append(out, *current)
			current = nil
		case current != nil:
			current.text += line + "\n"
		case strings.HasPrefix(line, "<!-- ") && strings.Contains(line, " = "):
			out = append(out, block{line: i + 1, info: "set", text: strings.TrimSuffix(strings.TrimPrefix(line, "<!-- "), " -->")})
		}
	}
	return out
}

// reader does what the guide says.
type reader struct {
	h    *host
	vars map[string]string
	last func() *reply // runs the last command again
	got  *reply        // what it answered
	used map[string]bool
}

func (r *reader) block(t *testing.T, b block) {
	t.Helper()
	fail := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("%s:%d: %s", guide, b.line, fmt.Sprintf(format, args...))
	}
	kind, status, _ := strings.Cut(b.info, " ")
	switch kind {
	case "sh":
		if r.got != nil && r.got.status >= 300 {
			fail("the command before answered %d: %s", r.got.status, r.got.body)
		}
		for _, words := range commands(b.text) {
			r.got = nil
			r.last = r.command(t, words)
			r.got = r.last()
		}
	case "json", "text":
		if want, err := strconv.Atoi(status); err != nil || r.got == nil || r.got.status != want {
			fail("answered %+v, want %s", r.got, status)
		}
		for kind == "json" && strings.Contains(b.text, `"state": "ready"`) && !strings.Contains(string(r.got.body), `"ready"`) {
			r.got = r.last()
		}
		for kind == "json" && strings.Contains(b.text, `"state": "done"`) && !strings.Contains(string(r.got.body), `"done"`) {
			r.got = r.last()
		}
		for kind == "json" && strings.Contains(b.text, `"outcome":`) && !strings.Contains(string(r.got.body), `"outcome"`) {
			r.got = r.last()
		}
		if kind == "text" {
			if pattern := glob(b.text); !pattern.MatchString(strings.ReplaceAll(string(r.got.body), "\r\n", "\n")) {
				fail("answered\n%s\nwhich does not fit", r.got.body)
			}
			break
		}
		var want, got any
		if err := json.Unmarshal([]byte(b.text), &want); err != nil {
			fail("%v", err)
		}
		r.got.into(&got)
		if at := differ("", want, got); at != "" {
			fail("answered\n%s\nwhich differs at %s", r.got.body, at)
		}
		r.got.status = 200 // it was expected
	case "set":
		name, path, _ := strings.Cut(b.text, " = ")
		var value any
		r.got.into(&value)
		for key := range strings.SplitSeq(path, ".") {
			switch v := value.(type) {
			case map[string]any:
				value = v[key]
			case []any:
				i, _ := strconv.Atoi(key)
				value = v[i]
			}
		}
		text, ok := value.(string)
		if !ok {
			fail("%s is %v", path, value)
		}
		r.vars[name] = text
	}
}

// command makes a request from the words of a curl command. It knows the options
// that the guide uses, and no other.
func (r *reader) command(t *testing.T, words []string) func() *reply {
	t.Helper()
	if words[0] != "curl" {
		t.Fatalf("not a curl command: %q", words)
	}
	method, target, body, query := "", "", "", ""
	header := http.Header{}
	stream := false
	for i := 1; i < len(words); i++ {
		word := os.Expand(words[i], func(name string) string { return r.vars[name] })
		value := func() string {
			i++
			return os.Expand(words[i], func(name string) string { return r.vars[name] })
		}
		switch word {
		case "-X":
			method = value()
		case "-H":
			name, text, _ := strings.Cut(value(), ": ")
			header.Set(name, text)
		case "--json":
			body = value()
			header.Set("Content-Type", "application/json")
		case "--data-binary":
			body = value()
		case "-G":
		case "--data-urlencode":
			name, text, _ := strings.Cut(value(), "=")
			query = "?" + url.Values{name: {text}}.Encode()
		case "-o":
			value()
		case "-N":
			stream = true
		default:
			if target != "" || !strings.HasPrefix(word, r.h.url) {
				t.Fatalf("the command has %q", word)
			}
			target = strings.TrimPrefix(word, r.h.url)
		}
	}
	if method == "" {
		method = map[bool]string{true: http.MethodGet, false: http.MethodPost}[body == ""]
	}
	if route := r.h.routeOf(method, target); route != "" {
		r.used[route] = true
	}
	set := func(req *http.Request) { req.Header = header }
	if stream {
		return func() *reply { return r.h.listen(t, target, header) }
	}
	return func() *reply { return r.h.call(method, target+query, body, set) }
}

// routeOf is the name of the operation that a request is for.
func (h *host) routeOf(method, target string) string {
	doc, err := contract()
	if err != nil {
		h.t.Fatal(err)
	}
	u, err := url.Parse(target)
	if err != nil {
		h.t.Fatal(err)
	}
	if route, _ := find(doc, method, u); route != nil {
		return route.Operation.OperationID
	}
	return ""
}

// listen reads a tail up to its first entry.
func (h *host) listen(t *testing.T, target string, header http.Header) *reply {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.url+target, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	res, err := h.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	read, body, last := bufio.NewReader(res.Body), "", false
	for {
		line, err := read.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		body += line
		last = last || line == "event: entry\n"
		if last && line == "\n" {
			return &reply{t: t, what: target, status: res.StatusCode, header: res.Header, body: []byte(body)}
		}
	}
}

// commands takes a script apart into commands and their words, as a shell does
// with quotes and continued lines.
func commands(script string) [][]string {
	var out [][]string
	var words []string
	word, in := "", false
	end := func() {
		if in {
			words = append(words, word)
		}
		word, in = "", false
	}
	for len(script) > 0 {
		c := script[0]
		script = script[1:]
		switch c {
		case '\'', '"':
			text, rest, _ := strings.Cut(script, string(c))
			if c == '\'' {
				text = strings.ReplaceAll(text, "$", "$DOLLAR") // stands for itself
			}
			word, in, script = word+text, true, rest
		case '\\':
			script = script[1:] // the end of the line
		case ' ':
			end()
		case '\n':
			end()
			if len(words) > 0 {
				out = append(out, words)
			}
			words = nil
		default:
			word, in = word+string(c), true
		}
	}
	return out
}

// volatile are texts that differ from run to run.
var volatile = []struct{ pattern, name string }{
	{`^(key_|export_|org_|stream_|replay_|hold_|erasure_)?[0-7][0-9A-HJKMNP-TV-Z]{25}$`, "an id"},
}

// differ says where an answer is not what the guide shows; "" when it is.
func differ(at string, want, got any) string {
	switch want := want.(type) {
	case map[string]any:
		got, ok := got.(map[string]any)
		if !ok {
			return at
		}
		for key := range got {
			if _, ok := want[key]; !ok {
				return at + "/" + key
			}
		}
		for key := range want {
			value, ok := got[key]
			if !ok {
				return at + "/" + key
			}
			if place := differ(at+"/"+key, want[key], value); place != "" {
				return place
			}
		}
	case []any:
		got, ok := got.([]any)
		if ok && len(want) == 1 && want[0] == "…" {
			return ""
		}
		if !ok || len(got) != len(want) {
			return at
		}
		for i := range want {
			if place := differ(fmt.Sprint(at, "/", i), want[i], got[i]); place != "" {
				return place
			}
		}
	case string:
		if got, ok := got.(string); !ok || !sameText(at, want, got) {
			return at
		}
	default:
		field := at[strings.LastIndexByte(at, '/')+1:]
		_, number := got.(float64)
		timed := number && slices.Contains([]string{"latency_ms", "latency_p95_ms", "lag_seconds"}, field)
		if !timed && !reflect.DeepEqual(want, got) {
			return at
		}
	}
	return ""
}

func sameText(at, want, got string) bool {
	if want == got || glob(want).MatchString(got) {
		return true
	}
	// Ids, and times that the server gives, are of the same form.
	for _, v := range volatile {
		form := regexp.MustCompile(v.pattern)
		if form.MatchString(want) && form.MatchString(got) {
			return true
		}
	}
	field := at[strings.LastIndexByte(at, '/')+1:]
	ours := []string{"received_at", "created_at", "updated_at", "ready_at", "expires_at", "revoked_at", "history_start", "since", "frozen_at", "ended_at", "last_success_at", "at", "lifted_at", "erased_at", "done_at"}
	return slices.Contains(ours, field) && len(want) == len(got) && strings.HasPrefix(got, "20")
}

// glob is a text in which … stands for anything.
func glob(text string) *regexp.Regexp {
	return regexp.MustCompile("(?s)^" + strings.ReplaceAll(regexp.QuoteMeta(text), "…", ".*") + "$")
}
