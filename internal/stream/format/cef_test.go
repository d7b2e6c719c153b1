package format_test

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/stream/format"
)

// cefLengths are the keys that the format may use and their lengths in the
// extension dictionary; 0 is a number or date.
func cefLengths() map[string]int {
	m := map[string]int{
		"cat": 1023, "externalId": 40, "rt": 0, "end": 0, "act": 63, "outcome": 63, "suid": 1023, "suser": 1023,
		"spriv": 1023, "duid": 1023, "duser": 1023, "src": 15, "c6a2": 45, "c6a2Label": 1023, "shost": 1023,
		"requestClientApplication": 1023, "dvchost": 100, "msg": 1023, "cn1": 0, "cn2": 0, "cn1Label": 1023, "cn2Label": 1023,
		"deviceCustomDate1": 0, "deviceCustomDate1Label": 1023, "flexString1": 1023, "flexString1Label": 128,
		"flexDate1": 0, "flexDate1Label": 128,
		"flexString2": 1023, "flexString2Label": 128, "flexNumber1": 0, "flexNumber1Label": 128, "flexNumber2": 0, "flexNumber2Label": 128,
	}
	for i := 1; i <= 6; i++ {
		m[fmt.Sprintf("cs%d", i)], m[fmt.Sprintf("cs%dLabel", i)] = 4000, 1023
	}
	return m
}

type cefEvent struct {
	header []string
	ext    map[string]string
}

// parseCEF is strict: seven fields of header, escapes that exist and only where
// they must be, keys of the dictionary once each, values within their lengths and
// without blanks around them.
func parseCEF(line string) (*cefEvent, error) {
	rest, ok := strings.CutPrefix(line, "CEF:0|")
	if !ok {
		return nil, fmt.Errorf("does not begin with CEF:0|")
	}
	e := &cefEvent{ext: map[string]string{}}
	for range 6 {
		var field strings.Builder
		i := 0
		for ; i < len(rest) && rest[i] != '|'; i++ {
			if rest[i] == '\\' {
				if i++; i == len(rest) || rest[i] != '\\' && rest[i] != '|' {
					return nil, fmt.Errorf("header: bad escape in %q", rest)
				}
			}
			field.WriteByte(rest[i])
		}
		if i == len(rest) {
			return nil, fmt.Errorf("header ends early")
		}
		e.header, rest = append(e.header, field.String()), rest[i+1:]
	}
	if n, err := strconv.Atoi(e.header[5]); err != nil || n < 0 || n > 10 {
		return nil, fmt.Errorf("severity %q", e.header[5])
	}
	return e, e.extension(rest)
}

func (e *cefEvent) extension(rest string) error {
	lengths := cefLengths()
	key := regexp.MustCompile(`^([A-Za-z0-9]+)=`)
	next := regexp.MustCompile(`^ [A-Za-z0-9]+=`)
	for rest != "" {
		m := key.FindStringSubmatch(rest)
		if m == nil {
			return fmt.Errorf("no key at %.40q", rest)
		}
		name, i := m[1], len(m[0])
		var value strings.Builder
		for ; i < len(rest) && !next.MatchString(rest[i:]); i++ {
			switch rest[i] {
			case '=', '\n', '\r':
				return fmt.Errorf("%s: %q is not escaped", name, rest[i])
			case '\\':
				if i++; i == len(rest) {
					return fmt.Errorf("%s: ends with \\", name)
				}
				at := strings.IndexByte(`\=nr`, rest[i])
				if at < 0 {
					return fmt.Errorf("%s: bad escape \\%c", name, rest[i])
				}
				value.WriteByte("\\=\n\r"[at])
			default:
				value.WriteByte(rest[i])
			}
		}
		if err := e.keep(name, value.String(), lengths); err != nil {
			return err
		}
		if rest = rest[i:]; rest != "" {
			rest = rest[1:]
		}
	}
	for name := range e.ext {
		if _, ok := lengths[name+"Label"]; ok && e.ext[name+"Label"] == "" {
			return fmt.Errorf("%s has no label", name)
		}
	}
	return nil
}

func (e *cefEvent) keep(name, value string, lengths map[string]int) error {
	limit, ok := lengths[name]
	_, before := e.ext[name]
	switch {
	case !ok:
		return fmt.Errorf("%s is no key that the format may use", name)
	case before:
		return fmt.Errorf("%s is there twice", name)
	case value == "" || value != strings.Trim(value, " \t"):
		return fmt.Errorf("%s: %q is empty or has blanks around it", name, value)
	case limit > 0 && len(value) > limit:
		return fmt.Errorf("%s has %d bytes, more than %d", name, len(value), limit)
	case !utf8.ValidString(value):
		return fmt.Errorf("%s: not UTF-8", name)
	}
	if limit == 0 {
		if _, err := strconv.ParseInt(value, 10, 64); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	e.ext[name] = value
	return nil
}

func TestCEF(t *testing.T) {
	f := get(t, "cef")
	rapid.Check(t, func(t *rapid.T) {
		in := inputs().Draw(t, "in")
		if rapid.Bool().Draw(t, "large") {
			enlarge(t, in)
		}
		out := encode(t, f, in)
		e, err := parseCEF(string(out))
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		sameCEF(t, in, e, out)
	})
}

// enlarge makes some values longer than CEF takes.
func enlarge(t *rapid.T, in *format.Input) {
	e := in.Entry.Event.Audit()
	long := func(what string) string {
		return strings.Repeat(rapid.SampledFrom([]string{"é", "=", `\`, "a ", "\n", "日本"}).Draw(t, what), rapid.SampledFrom([]int{30, 341, 512, 600, 2000}).Draw(t, what+" n"))
	}
	e.Actor.ID, e.Actor.Name = long("id"), long("name")
	e.Context.UserAgent = long("agent")
	e.Metadata = audit.Metadata{"long": long("metadata")}
	e.Targets = append(e.Targets, audit.Target{Type: "user", ID: long("target"), Name: long("target name")})
	entry := entryOf(t, &e, in.Entry.Seq, in.Entry.ReceivedTime())
	entry.Unregistered = in.Entry.Unregistered
	in.Entry = entry
}

// sameCEF holds what was read to the entry: every value is whole, or its key is
// among those that the event says were altered.
func sameCEF(t *rapid.T, in *format.Input, e *cefEvent, out []byte) {
	altered := strings.Split(e.ext["flexString1"], ",")
	if altered[0] == "" {
		altered = nil
	}
	for _, key := range altered {
		if _, ok := cefLengths()[key]; !ok {
			t.Fatalf("alteredFields names %q", key)
		}
	}
	want := in.Entry.Audit(in.Organization)
	check := func(key, want string) {
		if e.ext[key] != want && !slices.Contains(altered, key) {
			t.Fatalf("%s is %q, want %q\n%s", key, e.ext[key], want, out)
		}
	}
	whole := func(key, got, want string) {
		if got != want {
			t.Fatalf("%s is %q, want %q\n%s", key, got, want, out)
		}
	}
	whole("externalId", e.ext["externalId"], want.ID)
	whole("sequence", e.ext["cn2"], strconv.FormatUint(want.Seq, 10))
	whole("version", e.ext["cn1"], strconv.Itoa(want.Version))
	whole("received", e.ext["deviceCustomDate1"], strconv.FormatInt(want.ReceivedAt.UnixMilli(), 10))
	whole("rt", e.ext["rt"], strconv.FormatInt(want.OccurredAt.UnixMilli(), 10))
	if exact := e.ext["flexString2"]; exact != "" || want.OccurredAt.Nanosecond()%1e6 != 0 {
		if at, err := time.Parse(time.RFC3339Nano, exact); err != nil || !at.Equal(want.OccurredAt) {
			t.Fatalf("flexString2 %q is not %v", exact, want.OccurredAt)
		}
	}
	check("act", want.Action)
	check("cs1", want.OrganizationID)
	check("suid", want.Actor.ID)
	check("suser", want.Actor.Name)
	check("cs3", want.Actor.Type)
	check("requestClientApplication", want.Context.UserAgent)
	location := e.ext["src"] + e.ext["c6a2"] + e.ext["shost"]
	if location != want.Context.Location && !slices.Contains(altered, "shost") {
		t.Fatalf("location %q, want %q", location, want.Context.Location)
	}
	if (e.ext["flexNumber2"] == "1") != (want.Schema != "") || (e.ext["flexNumber1"] == "1") != in.Replay {
		t.Fatalf("flags: %s", out)
	}
	if ms := in.Entry.ErasedAt; ms != 0 {
		whole("flexDate1", e.ext["flexDate1"], strconv.FormatInt(ms, 10))
	} else {
		whole("flexDate1", e.ext["flexDate1"], "")
	}
	got := audit.Entry{
		ID: want.ID, OrganizationID: want.OrganizationID, Seq: want.Seq, ReceivedAt: want.ReceivedAt, Schema: want.Schema,
		ErasedAt: want.ErasedAt, Event: want.Event,
	}
	got.Metadata = cefMetadata(t, e, altered, "cs5", want.Metadata)
	got.Actor.Metadata = cefMetadata(t, e, altered, "cs6", want.Actor.Metadata)
	if !slices.Contains(altered, "cs2") {
		got.Targets = nil
		if e.ext["cs2"] != "" {
			m := object(t, []byte(`{"targets":`+e.ext["cs2"]+`}`))
			got.Targets = partiesOf(t, m["targets"])
		}
	} else {
		object(t, []byte(`{"targets":`+e.ext["cs2"]+`}`))
	}
	same(t, in, &got, out)
}

func cefMetadata(t *rapid.T, e *cefEvent, altered []string, key string, want audit.Metadata) audit.Metadata {
	if e.ext[key] == "" {
		return nil
	}
	m := object(t, []byte(e.ext[key]))
	if slices.Contains(altered, key) {
		if m["truncated"] != true || m["event_id"] == nil {
			t.Fatalf("%s: %q does not say that it was cut", key, e.ext[key])
		}
		return want
	}
	return metadata(t, m)
}

// FuzzCEFEscape puts any text everywhere.
func FuzzCEFEscape(f *testing.F) {
	for _, s := range []string{`a=b c\d|e`, "x\r\ny", ` lead trail `, `cs1=evil rt=0`, "\\", "=", "…", strings.Repeat("é", 3000)} {
		f.Add(s)
	}
	cef := format.CEF()
	f.Fuzz(func(t *testing.T, s string) {
		if s == "" || len(s) > 8000 || !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
			return // no text that an event can have
		}
		e := &audit.Event{
			Action: "a." + strings.ToValidUTF8(s[:min(len(s), 150)], ""), OccurredAt: time.UnixMilli(1),
			Actor:    audit.Actor{Type: s, ID: s, Name: s},
			Targets:  []audit.Target{{Type: "user", ID: s, Name: s}},
			Context:  audit.Context{Location: s, UserAgent: s},
			Metadata: audit.Metadata{"a": s},
		}
		in := &format.Input{Entry: entryOf(t, e, 1, time.UnixMilli(1)), Organization: s, Server: s, Product: s, Description: s}
		out := cef.Append(nil, in)
		parsed, err := parseCEF(string(out))
		if err != nil {
			t.Fatalf("%v\n%q", err, out)
		}
		if strings.TrimSpace(s) == s && len(s) <= 1000 && (parsed.ext["suid"] != s || parsed.ext["duser"] != s || parsed.ext["cs1"] != s) {
			t.Fatalf("%q came back as %q", s, parsed.ext["suid"])
		}
	})
}
