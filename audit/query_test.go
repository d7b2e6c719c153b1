package audit_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
)

func month(y, m int) time.Time { return time.Date(y, time.Month(m), 1, 0, 0, 0, 0, time.UTC) }

func TestParseQuery(t *testing.T) {
	filter := func(f audit.Field, values ...string) audit.Filter { return audit.Filter{Field: f, Values: values} }
	not := func(f audit.Field, values ...string) audit.Filter {
		return audit.Filter{Field: f, Values: values, Not: true}
	}
	filters := func(fs ...audit.Filter) audit.Query { return audit.Query{Filters: fs} }
	for _, tt := range []struct {
		text      string
		want      audit.Query
		canonical string // "" when it is text
	}{
		{"", audit.Query{}, ""},
		{" \t\n\u00a0 ", audit.Query{}, " "},
		{"action:api_key.created", filters(filter(audit.FieldAction, "api_key.created")), ""},
		{"action:api_key.*", filters(filter(audit.FieldAction, "api_key.*")), ""},
		{"action:b action:a action:b", filters(filter(audit.FieldAction, "a", "b")), "action:a action:b"},
		{"-action:b action:a -action:a", filters(filter(audit.FieldAction, "a"), not(audit.FieldAction, "a", "b")), "action:a -action:a -action:b"},
		{"actor:u1 target:t1", filters(filter(audit.FieldActorID, "u1"), filter(audit.FieldTargetID, "t1")), "actor.id:u1 target.id:t1"},
		{"target:http://x/y?z=1", filters(filter(audit.FieldTargetID, "http://x/y?z=1")), "target.id:http://x/y?z=1"},
		{"location:2001:db8::1", filters(filter(audit.FieldLocation, "2001:db8::1")), ""},
		{"location:-1", filters(filter(audit.FieldLocation, "-1")), ""},
		{`actor:C:\foo`, filters(filter(audit.FieldActorID, `C:\foo`)), `actor.id:C:\foo`},
		{`actor.name:"Ada \"the\" \\ Lovelace\n\u202e"`, filters(filter(audit.FieldActorName, "Ada \"the\" \\ Lovelace\n\u202e")), ""},
		{"metadata.a.b:1", filters(filter("metadata.a.b", "1")), ""},
		{`metadata.a:""`, filters(filter("metadata.a", "")), ""},
		{`"metadata.odd: \"key\"":x`, filters(filter(`metadata.odd: "key"`, "x")), ""},
		{`-"metadata.odd key":"x y"`, filters(not("metadata.odd key", "x y")), ""},
		{"metadata.a/b:x", filters(filter("metadata.a/b", "x")), ""},
		{"actor.metadata.a:x target.metadata.b:y", filters(filter("actor.metadata.a", "x"), filter("target.metadata.b", "y")), ""},
		{"version:2 schema:unregistered", filters(filter(audit.FieldVersion, "2"), filter(audit.FieldSchema, "unregistered")), ""},
		{`dev "api key" -test`, filters(filter(audit.FieldText, "api key", "dev"), not(audit.FieldText, "test")), `"api key" dev -test`},
		{"text:dev", filters(filter(audit.FieldText, "dev")), "dev"},
		{`"OR" -OR --x "-x"`, filters(filter(audit.FieldText, "-x", "OR"), not(audit.FieldText, "-x", "OR")), `"-x" "OR" -"-x" -"OR"`},
		{"::1 10:30 2001:db8::1", filters(filter(audit.FieldText, "10:30", "2001:db8::1", "::1")), `"10:30" "2001:db8::1" "::1"`},
		{"=cmd() a,b [x] (y)", filters(filter(audit.FieldText, "(y)", "=cmd()", "[x]", "a,b")), "(y) =cmd() [x] a,b"},
		{"日本語 😀", filters(filter(audit.FieldText, "日本語", "😀")), ""},
		{"after:2026-01-01 before:2026-02-01", audit.Query{OccurredFrom: month(2026, 1), OccurredTo: month(2026, 2)}, ""},
		{
			"after:2026-01-01T01:00:00+01:00 after:2025-01-01",
			audit.Query{OccurredFrom: month(2026, 1)},
			"after:2026-01-01",
		},
		{
			"before:2026-01-01T00:00:00.000000001Z before:2027-01-01",
			audit.Query{OccurredTo: month(2026, 1).Add(1)},
			"before:2026-01-01T00:00:00.000000001Z",
		},
		{
			`received.before:2026-02-01 received.after:"2026-01-01"`,
			audit.Query{ReceivedFrom: month(2026, 1), ReceivedTo: month(2026, 2)},
			"received.after:2026-01-01 received.before:2026-02-01",
		},
		{"before:2262-01-01 after:1970-01-01", audit.Query{OccurredFrom: month(1970, 1), OccurredTo: month(2262, 1)}, "after:1970-01-01 before:2262-01-01"},
		{
			"dev after:2026-01-01 metadata.team:core -location:10.0.0.1 target:01G1 actor.type:user action:api_key.*",
			audit.Query{OccurredFrom: month(2026, 1), Filters: []audit.Filter{
				filter(audit.FieldAction, "api_key.*"), filter(audit.FieldActorType, "user"), filter(audit.FieldTargetID, "01G1"),
				not(audit.FieldLocation, "10.0.0.1"), filter("metadata.team", "core"), filter(audit.FieldText, "dev"),
			}},
			"action:api_key.* actor.type:user target.id:01G1 -location:10.0.0.1 metadata.team:core dev after:2026-01-01",
		},
	} {
		got, err := audit.ParseQuery(tt.text)
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q: %s", tt.text, diff)
		}
		canonical := tt.text
		if tt.canonical != "" {
			canonical = strings.TrimSpace(tt.canonical)
		}
		if got.String() != canonical {
			t.Errorf("%q: canonical text is %q, want %q", tt.text, got.String(), canonical)
		}
	}
}

func TestParseQueryErrors(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"acton:x", `character 1: unknown field "acton"; did you mean "action"? (to find the text itself, quote the whole)`},
		{"a Actor:x", `character 3: unknown field "Actor"; did you mean "actor"?`},
		{"since:2026-01-01", `did you mean "after"?`},
		{"ip:10.0.0.1", `did you mean "location"?`},
		{"xyzzy:1", "known are action, actor, actor.id,"},
		{"https://example.com", `unknown field "https"`},
		{"metadata.:x", `unknown field "metadata."`},
		{"metadata:x", `unknown field "metadata"`},
		{`"":x`, `unknown field ""`},
		{"action: x", "character 8: no value after action: (the value follows without a space)"},
		{"action:", "no value after action:"},
		{`actor:""`, "the filter on actor.id has an empty value"},
		{`""`, "character 1: the text in quotes is empty"},
		{"-", "nothing after -"},
		{"a - b", "character 3: nothing after -"},
		{"日本 OR b", "character 4: OR is not part of the language"},
		{`a "b`, "character 3: this quote is not closed"},
		{`actor:"b`, "character 7: this quote is not closed"},
		{`"a"b`, "character 4: a space is missing after the quote"},
		{`actor:"a"b`, "character 10: a space is missing after the quote"},
		{`a"b"`, "character 2: a quote inside a word"},
		{`actor:a"b"`, "character 8: a quote inside a word"},
		{`"a\x"`, "character 3: a backslash in quotes begins one of"},
		{`"\ud800"`, "a backslash in quotes begins one of"},
		{`"\u00:0"`, "a backslash in quotes begins one of"},
		{`"a\`, "a backslash in quotes begins one of"},
		{"ok \xff", "character 4: not valid UTF-8"},
		{"action:a*b", `"a*b" has a * inside`},
		{"action:**", "has a * inside"},
		{"version:0", `"0" is not a version`},
		{"version:01", `"01" is not a version`},
		{"version:65536", `"65536" is not a version`},
		{"schema:ok", `schema is "unregistered" or nothing`},
		{"after:yesterday", `character 7: after: "yesterday" is not a time; write 2026-03-01 or`},
		{"after:2026-02-30", "is not a time"},
		{"after:2026-02-01T10:00:00", "has no time zone"},
		{"after:1969-12-31", "times are from 1970 to 2261"},
		{"before:9999-01-01", "times are from 1970 to 2261"},
		{"before:2026-01-01T00:00:00.1234567891Z", "is finer than a nanosecond"},
		{"-after:2026-01-01", "character 1: after cannot be negated"},
		{"after:2026-01-02 before:2026-01-01", "nothing can match: after:2026-01-02 is not earlier than before:2026-01-01"},
		{"received.after:2026-01-01 received.before:2026-01-01", "nothing can match: received.after:2026-01-01"},
		{"actor:" + strings.Repeat("x", 16385), "has a value of 16385 bytes"},
		{strings.Repeat("x", 65537), "the query has 65537 bytes, more than 65536"},
		{manyValues(1001), "the query has 1001 values, more than 1000"},
	} {
		_, err := audit.ParseQuery(tt.text)
		if !errors.Is(err, &audit.Error{Code: audit.CodeInvalidQuery}) {
			t.Errorf("%.40q: error %v", tt.text, err)
			continue
		}
		if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.40q: error %q does not say %q", tt.text, err, tt.want)
		}
	}
	if _, err := audit.ParseQuery(manyValues(1000)); err != nil {
		t.Error(err)
	}
}

func manyValues(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(" version:")
		b.WriteString(string(rune('1' + i%9)))
	}
	return b.String()
}

func TestQueryValidate(t *testing.T) {
	for _, tt := range []struct {
		query audit.Query
		want  string
	}{
		{audit.Query{Filters: []audit.Filter{{Field: "acto", Values: []string{"x"}}}}, `unknown field "acto"; did you mean "actor"?`},
		{audit.Query{Filters: []audit.Filter{{Field: "received.after", Values: []string{"x"}}}}, `"received.after" bounds a time`},
		{audit.Query{Filters: []audit.Filter{{Field: "actor", Values: []string{"x"}}}}, `unknown field "actor"`},
		{audit.Query{Filters: []audit.Filter{{Field: audit.FieldActorID}}}, "the filter on actor.id has no value"},
		{audit.Query{Filters: []audit.Filter{{Field: audit.FieldActorID, Values: []string{"\xff"}}}}, "is not valid UTF-8"},
		{audit.Query{Filters: []audit.Filter{{Field: "metadata.\xff", Values: []string{"x"}}}}, "is not valid UTF-8"},
		{audit.Query{OccurredFrom: month(1969, 1)}, "after is 1969-01-01T00:00:00Z; times are from 1970"},
		{audit.Query{ReceivedTo: month(2263, 1)}, "received.before is 2263-01-01T00:00:00Z"},
	} {
		if err := tt.query.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want %q", err, tt.want)
		}
	}
}

func TestQueryFromValues(t *testing.T) {
	for _, tt := range []struct{ params, want string }{
		{"", ""},
		{"q=", ""},
		{"q=dev+-location:10.0.0.1&action=a&action=b", "action:a action:b -location:10.0.0.1 dev"},
		{"actor=u1&actor.id=u2&q=actor:u3", "actor.id:u1 actor.id:u2 actor.id:u3"},
		{"-actor=u1&-metadata.team=core&metadata.a.b=", `-actor.id:u1 metadata.a.b:"" -metadata.team:core`},
		{"after=2026-01-01&q=after:2026-01-02&before=2026-02-01T00:00:00Z", "after:2026-01-02 before:2026-02-01"},
		{"received.after=2026-01-01&received.before=2026-01-02", "received.after:2026-01-01 received.before:2026-01-02"},
		{"text=a+b&-text=c&limit=5&cursor=x", `"a b" -c`},
	} {
		v, err := url.ParseQuery(tt.params)
		if err != nil {
			t.Fatal(err)
		}
		q, err := audit.QueryFromValues(v, "limit", "cursor")
		if err != nil {
			t.Errorf("%s: %v", tt.params, err)
		}
		if q.String() != tt.want {
			t.Errorf("%s: %q, want %q", tt.params, q.String(), tt.want)
		}
	}
}

func TestQueryFromValuesErrors(t *testing.T) {
	for _, tt := range []struct {
		params string
		code   audit.Code
		want   string
	}{
		{"acton=x", audit.CodeInvalidRequest, `acton: unknown parameter; did you mean "action"?`},
		{"limt=5", audit.CodeInvalidRequest, `limt: unknown parameter; did you mean "limit"?`},
		{"-q=x", audit.CodeInvalidRequest, "-q: unknown parameter"},
		{"-after=2026-01-01", audit.CodeInvalidRequest, "-after: unknown parameter"},
		{"action=", audit.CodeInvalidQuery, "action: the filter on action has an empty value"},
		{"after=", audit.CodeInvalidQuery, "after: \"\" is not a time"},
		{"q=a+OR+b", audit.CodeInvalidQuery, "q: character 3: OR is not"},
		{"after=2026-01-01&q=before:2025-01-01", audit.CodeInvalidQuery, "nothing can match"},
	} {
		v, err := url.ParseQuery(tt.params)
		if err != nil {
			t.Fatal(err)
		}
		_, err = audit.QueryFromValues(v, "limit")
		if !errors.Is(err, &audit.Error{Code: tt.code}) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %s %q", tt.params, err, tt.code, tt.want)
		}
	}
}

// anyQuery gives valid queries with values of every kind.
func anyQuery() *rapid.Generator[audit.Query] {
	return rapid.Custom(func(t *rapid.T) audit.Query {
		var q audit.Query
		for range rapid.IntRange(0, 6).Draw(t, "filters") {
			f := audit.Filter{Field: anyField(t), Not: rapid.Bool().Draw(t, "not")}
			f.Values = rapid.SliceOfN(anyValue(f.Field), 1, 3).Draw(t, "values")
			q.Filters = append(q.Filters, f)
		}
		q.OccurredFrom, q.OccurredTo = anyRange(t)
		q.ReceivedFrom, q.ReceivedTo = anyRange(t)
		return q
	})
}

func anyField(t *rapid.T) audit.Field {
	prefixes := []string{"metadata.", "actor.metadata.", "target.metadata."}
	if rapid.Bool().Draw(t, "metadata") {
		return audit.Field(rapid.SampledFrom(prefixes).Draw(t, "prefix") + rapid.StringN(1, 8, -1).Draw(t, "path"))
	}
	return rapid.SampledFrom(audit.Fields()).Draw(t, "field")
}

func anyValue(f audit.Field) *rapid.Generator[string] {
	text := rapid.OneOf(rapid.StringN(1, 8, -1), rapid.SampledFrom([]string{
		"OR", "-", "-x", `"`, `\`, `\n`, "a b", "a:b", "::", " ", "\u202e", "\x00", "\u00a0", "\U000e0001", "*", "it's",
	}))
	switch _, _, metadata := f.MetadataPath(); {
	case f == audit.FieldVersion:
		return rapid.SampledFrom([]string{"1", "2", "65535"})
	case f == audit.FieldSchema:
		return rapid.Just(audit.SchemaUnregistered)
	case f == audit.FieldAction:
		return rapid.Map(text, func(s string) string { return strings.ReplaceAll(s, "*", "x") + "*" })
	case metadata:
		return rapid.OneOf(text, rapid.Just(""))
	default:
		return text
	}
}

func anyRange(t *rapid.T) (from, to time.Time) {
	at := rapid.Custom(func(t *rapid.T) time.Time {
		ns := rapid.Int64Range(0, audit.MaxTime.UnixNano()).Draw(t, "ns")
		step := rapid.SampledFrom([]int64{1, 1e6, 1e9, 24 * 3600 * 1e9}).Draw(t, "step")
		return time.Unix(0, ns-ns%step).In(time.FixedZone("", rapid.IntRange(-14, 14).Draw(t, "zone")*3600))
	})
	if rapid.Bool().Draw(t, "has from") {
		from = at.Draw(t, "from")
	}
	if rapid.Bool().Draw(t, "has to") {
		to = at.Draw(t, "to")
	}
	if !from.IsZero() && !to.IsZero() && !from.Before(to) {
		to = from.Add(1)
	}
	return from, to
}

func TestQueryRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := anyQuery().Draw(t, "query")
		if err := q.Validate(); err != nil {
			t.Fatalf("the generator made an invalid query: %v", err)
		}
		want := q.Normalize()
		got, err := audit.ParseQuery(q.String())
		if err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s: %s", q, diff)
		}
		v, err := url.ParseQuery(q.Values().Encode())
		if err != nil {
			t.Fatal(err)
		}
		if got, err = audit.QueryFromValues(v); err != nil {
			t.Fatalf("%s: %v", v.Encode(), err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s: %s", v.Encode(), diff)
		}
		if diff := cmp.Diff(want, want.Normalize()); diff != "" {
			t.Fatalf("normalizing twice changes the query: %s", diff)
		}
	})
}

func FuzzParseQuery(f *testing.F) {
	for _, s := range []string{
		`action:api_key.* actor.type:user target:01G1 metadata.team:core after:2026-01-01 -location:10.0.0.1 "dev key"`,
		`"metadata.odd \"key\"":"\u202e\\" -OR "OR"`, `a"b`, `::1 -`, `version:2 schema:unregistered`, "received.before:2026-01-01T00:00:00.5+01:00",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := audit.ParseQuery(text)
		if err != nil {
			if !errors.Is(err, &audit.Error{Code: audit.CodeInvalidQuery}) {
				t.Fatalf("error %v is not invalid_query", err)
			}
			return
		}
		again, err := audit.ParseQuery(q.String())
		if err != nil {
			t.Fatalf("%q became %q: %v", text, q, err)
		}
		if diff := cmp.Diff(q, again); diff != "" {
			t.Fatalf("%q became %q: %s", text, q, diff)
		}
	})
}
