package web

import "testing"

// TestSafeURL holds that nothing but a web address becomes a link.
func TestSafeURL(t *testing.T) {
	for raw, want := range map[string]string{
		"https://app.example.com/settings?tab=log": "https://app.example.com/settings?tab=log",
		"http://localhost:3000/":                   "http://localhost:3000/",
		"javascript:alert(1)":                      "",
		"data:text/html,hello":                     "",
		"//evil.example":                           "",
		"https://":                                 "",
		"/settings":                                "",
		"":                                         "",
	} {
		if got := safeURL(raw); got != want {
			t.Errorf("safeURL(%q) = %q, want %q", raw, got, want)
		}
	}
}

// TestSentence holds that a message becomes one sentence, with one period.
func TestSentence(t *testing.T) {
	for message, want := range map[string]string{
		"":                      "",
		"there is no stream":    "There is no stream.",
		"the disk is full.":     "The disk is full.",
		"a tree has 3 entries.": "A tree has 3 entries.",
	} {
		if got := sentence(message); got != want {
			t.Errorf("sentence(%q) = %q, want %q", message, got, want)
		}
	}
}
