package format

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stelehq/stele/internal/event"
)

// FuzzQuote reads any quoted text back, and finds nothing in it that ends a line.
func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", `"\`, "\x01\x1f\x7f\u0080", "\u0085\u2028\u2029", "\xc2", "\xe2\x80", "a\r\n\tb", "€ 日本 😀", "\u00a0\u2027"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			s = strings.ToValidUTF8(s, "?")
		}
		quoted := string(appendQuoted([]byte("x"), s))[1:]
		var got string
		if err := json.Unmarshal([]byte(quoted), &got); err != nil || got != s {
			t.Fatalf("%q became %q: %v", s, quoted, err)
		}
		if strings.ContainsAny(quoted, "\n\r\u0085\u2028\u2029\x7f") {
			t.Fatalf("%q has an end of line", quoted)
		}
		if quoted != string(appendQuoted(nil, []byte(s))) {
			t.Fatal("text and bytes differ")
		}
	})
}

// TestReadsOfActions says what is read out of names, most of them the demo's.
func TestReadsOfActions(t *testing.T) {
	for action, want := range map[string]struct {
		verb    verb
		outcome outcome
		noun    string
		segment string
	}{
		"api_key.created":                   {verbCreate, outcomeSuccess, "api_key", "created"},
		"alert_priority.set_as_default":     {verbUpdate, outcomeSuccess, "alert_priority", "set_as_default"},
		"private_incident.accessed_via_bot": {verbRead, outcomeSuccess, "private_incident", "accessed_via_bot"},
		"private_alert.access_attempted":    {verbOther, outcomeUnknown, "private_alert", "access_attempted"},
		"user.role_memberships_updated":     {verbUpdate, outcomeSuccess, "user", "role_memberships_updated"},
		"user.logged_in":                    {verbLogin, outcomeSuccess, "user", "logged_in"},
		"USER.LOGGED_OUT":                   {verbLogout, outcomeSuccess, "USER", "LOGGED_OUT"},
		"login.failed":                      {verbOther, outcomeFailure, "login", "failed"},
		"a:b/c.secret_deleted":              {verbDelete, outcomeSuccess, "a:b/c", "secret_deleted"},
		"api_key.":                          {verbOther, outcomeSuccess, "", "api_key"},
		"...":                               {verbOther, outcomeSuccess, "", ""},
		"x":                                 {verbOther, outcomeSuccess, "", "x"},
	} {
		var tr traits
		e := &event.Event{Action: []byte(action)}
		tr.read(e)
		if tr.verb != want.verb || tr.outcome != want.outcome || string(tr.noun) != want.noun || string(tr.segment) != want.segment {
			t.Errorf("%s: verb %d, outcome %d, noun %q, segment %q; want %+v", action, tr.verb, tr.outcome, tr.noun, tr.segment, want)
		}
	}
}

// TestEmail says which names are taken for addresses.
func TestEmail(t *testing.T) {
	for s, want := range map[string]bool{
		"ada@example.com": true, "a.b+c_d-e@x-y.example.com": true, "ada": false, "@example.com": false, "ada@": false,
		"ada@localhost": false, "ada@example.": false, "a@b@c.d": false, "Ada <ada@example.com>": false, "ä@example.com": false, "a@.b": false,
	} {
		if isEmail([]byte(s)) != want {
			t.Errorf("%s: %v", s, !want)
		}
	}
}
