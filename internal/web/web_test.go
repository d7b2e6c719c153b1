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
