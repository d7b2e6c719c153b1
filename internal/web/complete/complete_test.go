package complete_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/web/complete"
)

// TestAt: the caret is where | is.
func TestAt(t *testing.T) {
	for text, want := range map[string]complete.Caret{
		"|":                          {},
		"act|":                       {End: 3, Word: "act"},
		"act|ion":                    {End: 6, Word: "act"},
		"|action":                    {End: 6},
		"action:|":                   {End: 7, Field: "action"},
		"action:api|_key.x":          {End: 16, Field: "action", Word: "api"},
		"ac|tion:api":                {End: 10, Word: "ac"},
		"-actor:u|":                  {End: 8, Not: true, Field: "actor", Word: "u"},
		"a b|":                       {Start: 2, End: 3, Word: "b", Rest: "a"},
		"a b |":                      {Start: 4, End: 4, Rest: "a b"},
		"a | b":                      {Start: 2, End: 2, Rest: "a   b"},
		"x:1 a|b y:2":                {Start: 4, End: 6, Word: "a", Rest: "x:1   y:2"},
		`actor.name:"Ada Lo|`:        {End: 18, Field: "actor.name", Word: "Ada Lo"},
		`actor.name:"Ada Lo|" x`:     {End: 19, Field: "actor.name", Word: "Ada Lo", Rest: "x"},
		`actor.name:"a \"b|" x`:      {End: 18, Field: "actor.name", Word: `a "b`, Rest: "x"},
		`"two wor|ds" x`:             {End: 11, Word: "two wor", Rest: "x"},
		`"metadata.odd key":v|`:      {End: 20, Field: "metadata.odd key", Word: "v"},
		"::1|":                       {End: 3, Word: "::1"},
		"location:::1|":              {End: 12, Field: "location", Word: "::1"},
		"x\u2003é|":                  {Start: 4, End: 6, Word: "é", Rest: "x"},
		`"done" act|`:                {Start: 7, End: 10, Word: "act", Rest: `"done"`},
		`a:"x y" b:"unclosed and |z`: {Start: 8, End: 25, Field: "b", Word: "unclosed and ", Rest: `a:"x y"`},
	} {
		before, after, _ := strings.Cut(text, "|")
		if diff := cmp.Diff(want, complete.At(before+after, len(before))); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

// TestAtAnything: whatever is typed, the term is a part of the text around the
// caret.
func TestAtAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.SampledFrom([]rune(`ab:"\ -.é𝛂`+"\t")), 0, 30, -1).Draw(t, "text")
		caret := rapid.IntRange(-1, len(text)+1).Draw(t, "caret")
		c := complete.At(text, caret)
		if c.Start < 0 || c.End > len(text) || c.Start > c.End || c.Start > max(caret, 0) || c.End < min(caret, len(text)) {
			t.Fatalf("%q at %d: %+v", text, caret, c)
		}
		// A place in units and in bytes is the same place.
		unit := len(utf16.Encode([]rune(text[:c.Start])))
		if got := complete.UnitOf(text, c.Start); got != unit {
			t.Fatalf("%q: byte %d is unit %d, not %d", text, c.Start, unit, got)
		}
		if got := complete.ByteOf(text, unit); got != c.Start {
			t.Fatalf("%q: unit %d is byte %d, not %d", text, unit, c.Start, got)
		}
	})
}

// TestTerm: what is put in is read as what was chosen.
func TestTerm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringN(1, 20, -1).Draw(t, "value")
		not := rapid.Bool().Draw(t, "not")
		field := rapid.SampledFrom([]audit.Field{audit.FieldActorID, "metadata.odd key", audit.FieldLocation}).Draw(t, "field")
		term := complete.Term(field, value, not)
		q, err := audit.ParseQuery(term)
		if err != nil {
			t.Fatalf("%s: %v", term, err)
		}
		want := audit.Query{Filters: []audit.Filter{{Field: field, Values: []string{value}, Not: not}}}
		if diff := cmp.Diff(want, q); diff != "" {
			t.Fatal(diff)
		}
		// And with the caret behind it, it is one term.
		if c := complete.At("x "+term+" y", 2+len(term)); c.Start != 2 || c.End != 2+len(term) {
			t.Fatalf("%s: %+v", term, c)
		}
	})
}

func texts(items []complete.Item) string {
	var out []string
	for _, i := range items {
		text := i.Insert
		if i.Count != nil {
			text += fmt.Sprintf("=%d", *i.Count)
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

func TestFields(t *testing.T) {
	paths := []string{"metadata.team", "actor.metadata.odd key"}
	for word, want := range map[string]string{
		"act":           `action: actor: actor.name: actor.type: actor.metadata. "actor.metadata.odd key":`,
		"ACTION":        "action:",
		"agent":         "user_agent:",
		"name":          "actor.name: target.name:",
		"metadata.t":    "metadata.team:",
		"received":      "received.after: received.before:",
		"api":           "",
		"target.":       "target.name: target.type: target.metadata.",
		"actor.name:xx": "",
	} {
		if got := texts(complete.Fields(word, false, paths)); got != want {
			t.Errorf("%s: %s, want %s", word, got, want)
		}
	}
	if got := texts(complete.Fields("ver", true, nil)); got != "-version:" {
		t.Errorf("negated: %s", got)
	}
	if all := complete.Fields("", false, nil); len(all) != len(complete.Names()) {
		t.Errorf("%d of %d names", len(all), len(complete.Names()))
	}
	// Each is known to the language.
	for _, n := range complete.Names() {
		name := strings.TrimSuffix(n.Name, ".")
		value := map[string]string{"schema": "unregistered", "version": "1"}[name]
		if strings.HasSuffix(n.Name, ".") {
			name = n.Name + "key"
		}
		if _, err := audit.ParseQuery(name + ":2026-01-01"); value == "" && err != nil {
			t.Errorf("%s: %v", n.Name, err)
		}
		if _, err := audit.ParseQuery(name + ":" + value); value != "" && err != nil {
			t.Errorf("%s: %v", n.Name, err)
		}
	}
}

func TestValues(t *testing.T) {
	counted := []search.FacetValue{
		{Value: "u9", Name: "Bob Adams", Count: 9},
		{Value: "u8", Name: "Ada Byron", Count: 8},
		{Value: "ada-key", Count: 7},
		{Value: "u6", Name: "Canada", Count: 6},
		{Value: "u5", Name: "Eve", Count: 5},
	}
	if got, want := texts(complete.Values(audit.FieldActorID, "Actor", "ADA", false, counted)),
		"actor.id:u8=8 actor.id:ada-key=7 actor.id:u9=9 actor.id:u6=6"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	all := complete.Values(audit.FieldActorID, "Actor", "", true, counted)
	if got := texts(all); !strings.HasPrefix(got, "-actor.id:u9=9 -actor.id:u8=8") || len(all) != len(counted) {
		t.Errorf("nothing typed: %s", got)
	}
	if all[0].Text != "Bob Adams" || all[0].Note != "u9" || all[2].Text != "ada-key" || all[2].Note != "" {
		t.Errorf("called %+v, %+v", all[0], all[2])
	}
}

func TestFamilies(t *testing.T) {
	counted := []search.FacetValue{
		{Value: "api_key.created", Count: 9},
		{Value: "user.login", Count: 8},
		{Value: "api_key.deleted", Count: 2},
		{Value: "sso.connection.created", Count: 1},
		{Value: "sso.connection.deleted", Count: 1},
		{Value: "odd", Count: 3},
		{Value: ".x", Count: 3},
		{Value: ".y", Count: 3},
	}
	for word, want := range map[string]string{
		"":     "action:api_key.*=11 action:sso.connection.*=2",
		"key":  "action:api_key.*=11",
		"conn": "action:sso.connection.*=2",
		"user": "", // has one member
	} {
		if got := texts(complete.Families(word, false, counted)); got != want {
			t.Errorf("%s: %s, want %s", word, got, want)
		}
	}
}
