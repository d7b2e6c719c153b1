package format

import (
	"bytes"

	"github.com/stelehq/stele/internal/event"
)

// verb is what kind of thing an action does.
type verb uint8

const (
	verbOther verb = iota
	verbCreate
	verbRead
	verbUpdate
	verbDelete
	verbLogin
	verbLogout
)

// outcome is how it ended.
type outcome uint8

const (
	outcomeSuccess outcome = iota
	outcomeFailure
	outcomeUnknown
)

// traits are what the formats read out of an action's name, which is free text:
// "api_key.created" is the noun "api_key" and the segment "created". They are a
// guess that only fills fields which every format keeps beside the action as it
// is.
type traits struct {
	verb     verb
	outcome  outcome
	security bool // it is about accounts, rights or secrets

	lower   [200]byte // the action in lower case; audit.MaxActionBytes
	noun    []byte    // of the action as it is; empty when it has one segment only
	segment []byte    // of the action as it is: the last one
	low     int       // where the segment begins in lower
	length  int
}

// read fills in the traits of an event.
func (t *traits) read(e *event.Event) {
	action := e.Action[:min(len(e.Action), len(t.lower))]
	t.length = len(action)
	for i, c := range action {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		t.lower[i] = c
	}
	end := len(action)
	for end > 0 && isSeparator(action[end-1]) { // "api_key." has no last segment
		end--
	}
	begin := end
	for begin > 0 && !isSeparator(action[begin-1]) {
		begin--
	}
	t.segment, t.low = action[begin:end], begin
	if begin > 0 {
		t.noun = action[:begin-1]
	}
	low := t.lower[begin:end]
	t.verb = verbOf(low)
	t.outcome = outcomeOf(low, e.Metadata)
	t.security = isSecurity(t.lowNoun(), e.Targets)
}

// lowSegment is the segment in lower case.
func (t *traits) lowSegment() []byte { return t.lower[t.low : t.low+len(t.segment)] }

// lowNoun is the last segment of the noun in lower case.
func (t *traits) lowNoun() []byte {
	noun := t.lower[:len(t.noun)]
	for i := len(noun); i > 0; i-- {
		if isSeparator(noun[i-1]) {
			return noun[i:]
		}
	}
	return noun
}

func isSeparator(c byte) bool { return c == '.' || c == ':' || c == '/' }

func isJoint(c byte) bool { return c == '_' || c == '-' || c == ' ' }

// verbOf finds the verb of a segment: the whole of it, its last word or its
// first one, as in "logged_in", "role_mappings_updated" and "accessed_via_bot".
func verbOf(segment []byte) verb {
	if v := verbWord(segment); v != verbOther {
		return v
	}
	last, first := len(segment), 0
	for last > 0 && !isJoint(segment[last-1]) {
		last--
	}
	for first < len(segment) && !isJoint(segment[first]) {
		first++
	}
	if v := verbWord(segment[last:]); v != verbOther {
		return v
	}
	return verbWord(segment[:first])
}

func verbWord(word []byte) verb {
	switch string(word) {
	case "created", "create", "added", "add", "invited", "invite", "granted", "installed", "generated",
		"imported", "uploaded", "registered", "issued", "inserted", "assigned", "enrolled":
		return verbCreate
	case "viewed", "read", "listed", "exported", "downloaded", "queried", "accessed", "opened", "searched",
		"view", "list", "export", "download", "query", "get", "fetched":
		return verbRead
	case "updated", "update", "changed", "change", "renamed", "enabled", "disabled", "edited", "modified", "set",
		"rotated", "moved", "upgraded", "downgraded", "activated", "deactivated", "reinstated", "suspended",
		"resumed", "locked", "unlocked", "archived", "restored", "replaced", "reset", "closed", "patched":
		return verbUpdate
	case "deleted", "delete", "removed", "remove", "revoked", "revoke", "destroyed", "uninstalled", "scrubbed",
		"purged", "erased", "unassigned", "expired":
		return verbDelete
	case "logged_in", "signed_in", "login", "signin", "sign_in", "log_in":
		return verbLogin
	case "logged_out", "signed_out", "logout", "signout", "sign_out", "log_out":
		return verbLogout
	}
	return verbOther
}

// outcomeOf says how the action ended: what a member of the metadata says, or
// the words of the segment; without either it was done.
func outcomeOf(segment, metadata []byte) outcome {
	for _, name := range [...]string{"outcome", "result", "status"} {
		if v, ok := event.Lookup(metadata, name); ok && len(metadata) > 0 {
			switch string(v) {
			case `"success"`, `"succeeded"`, `"ok"`, `"allowed"`:
				return outcomeSuccess
			case `"failure"`, `"failed"`, `"denied"`, `"error"`, `"rejected"`, `"blocked"`:
				return outcomeFailure
			case `"unknown"`:
				return outcomeUnknown
			}
		}
	}
	out := outcomeSuccess
	eachWord(segment, func(word []byte) {
		switch string(word) {
		case "failed", "failure", "denied", "rejected", "blocked", "refused":
			out = outcomeFailure
		case "attempted", "attempt", "requested":
			if out == outcomeSuccess {
				out = outcomeUnknown
			}
		}
	})
	return out
}

func eachWord(segment []byte, fn func([]byte)) {
	start := 0
	for i := 0; i <= len(segment); i++ {
		if i == len(segment) || isJoint(segment[i]) {
			fn(segment[start:i])
			start = i + 1
		}
	}
}

// isSecurity reports whether an action is about accounts, rights or secrets, by
// the words of its noun or else by the types of its targets.
func isSecurity(noun []byte, targets []event.Party) bool {
	found := false
	word := func(w []byte) {
		switch string(w) {
		case "user", "users", "member", "membership", "memberships", "account", "role", "roles", "group", "permission",
			"permissions", "policy", "secret", "token", "key", "credential", "credentials", "password", "mfa", "otp",
			"sso", "saml", "scim", "directory", "allowlist", "certificate", "session", "login", "privilege", "rbac":
			found = true
		}
	}
	eachWord(noun, word)
	if found || len(targets) == 0 {
		return found
	}
	eachWord(targets[0].Type, word)
	return found
}

// isUser reports whether the type of an actor or target is a person.
func isUser(typ []byte) bool {
	return equalFold(typ, "user") || equalFold(typ, "admin") || equalFold(typ, "member") || equalFold(typ, "person")
}

// isGroup reports whether the type of a target is a group of people.
func isGroup(typ []byte) bool { return equalFold(typ, "group") || equalFold(typ, "team") }

func equalFold(b []byte, s string) bool {
	return len(b) == len(s) && bytes.EqualFold(b, []byte(s))
}

// firstOf returns the first target for which is holds, or nil.
func firstOf(targets []event.Party, is func([]byte) bool) *event.Party {
	for i := range targets {
		if is(targets[i].Type) {
			return &targets[i]
		}
	}
	return nil
}
