package words_test

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/web/words"
)

var update = flag.Bool("update", false, "write testdata anew")

// TestSentences holds the sentences of all actions of a real product, and of
// what others write, to a file that people have read.
func TestSentences(t *testing.T) {
	const file = "testdata/sentences.txt"
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"Red", "Blue", "Green", "Grey", "Black"}
	var out strings.Builder
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		left, want, ok := strings.Cut(line, " =>")
		if !ok {
			out.WriteString(line + "\n")
			continue
		}
		words1 := strings.Fields(left)
		e := audit.Event{Action: words1[0], Actor: audit.Actor{Type: "user", ID: "u", Name: "Ann"}}
		for i, kind := range words1[1:] {
			e.Targets = append(e.Targets, audit.Target{Type: kind, ID: names[i], Name: names[i]})
		}
		got := words.Say(&e).String()
		if got != strings.TrimSpace(want) && !*update {
			t.Errorf("%s\n got %s\nwant %s", left, got, want)
		}
		out.WriteString(left + " => " + got + "\n")
	}
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSentenceParts holds what is our own words, what is a name and what an id.
func TestSentenceParts(t *testing.T) {
	e := audit.Event{
		Action: "api_key.created", Actor: audit.Actor{Type: "system", ID: "sys"},
		Targets: []audit.Target{{Type: "api_key", ID: "k1"}, {Type: "api_key", ID: "k2", Name: "Deploy"}},
	}
	s := words.Say(&e)
	want := []words.Part{
		{Kind: words.PartText, Text: "created API keys "},
		{Kind: words.PartTarget, Text: "k1", ByID: true, Type: "api_key", ID: "k1"},
		{Kind: words.PartText, Text: " and "},
		{Kind: words.PartTarget, Text: "Deploy", Type: "api_key", ID: "k2"},
	}
	if !slices.Equal(s.Parts, want) {
		t.Errorf("parts %+v", s.Parts)
	}
	if !s.Actor.ByID || s.Actor.Text != "sys" {
		t.Errorf("actor %+v", s.Actor)
	}
}

// TestSentenceHostile holds that no action, however it is written, breaks a
// sentence, and that long names are cut.
func TestSentenceHostile(t *testing.T) {
	for _, action := range []string{"", ".", "...", "a..b", "_", "___.___", "-", ".created", "created.", "\u202e.\u202d", "ä.ö_ü", strings.Repeat("x", 200), "a b c.d e f", "API", "😀.😀ed"} {
		for n := range 4 {
			e := audit.Event{Action: action, Actor: audit.Actor{ID: "a"}}
			for range n {
				e.Targets = append(e.Targets, audit.Target{Type: "_", ID: "t", Name: strings.Repeat("名", 9000)})
			}
			s := words.Say(&e)
			if len(s.String()) > 4000 {
				t.Errorf("%q with %d targets makes a sentence of %d bytes", action, n, len(s.String()))
			}
			for _, p := range s.Parts {
				if p.Kind == words.PartText && strings.Contains(p.Text, "  ") {
					t.Errorf("%q: two spaces in %q", action, p.Text)
				}
			}
		}
	}
}

// TestSentenceMany holds how a sentence ends that does not name all.
func TestSentenceMany(t *testing.T) {
	e := audit.Event{Action: "bundle.sent", Actor: audit.Actor{Name: "Ann"}, Targets: []audit.Target{{Type: "bundle", Name: "B"}}}
	for _, kind := range []string{"a", "b", "c", "d", "e"} {
		e.Targets = append(e.Targets, audit.Target{Type: kind, Name: strings.ToUpper(kind)})
	}
	if got, want := words.Say(&e).String(), "Ann sent bundle B (a A, b B, c C and 2 more)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestReadable holds how names are written for people.
func TestReadable(t *testing.T) {
	for name, want := range map[string]string{
		"api_key": "API key", "ipAllowlist": "IP allowlist", "SAMLConfig": "SAML config", "sso-url": "SSO URL",
		"on_call": "on-call", "user": "user", "": "", "__": "__", "a.b_id": "a b ID",
	} {
		if got := words.Readable(name); got != want {
			t.Errorf("Readable(%q) = %q, want %q", name, got, want)
		}
	}
	if got := words.Title("base_role_slug"); got != "Base role slug" {
		t.Errorf("Title = %q", got)
	}
	if got := words.Shorten("äöüß", 3); got != "äö…" {
		t.Errorf("Shorten = %q", got)
	}
}
