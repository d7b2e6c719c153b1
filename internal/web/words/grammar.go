package words

import (
	"slices"
	"strings"
)

// clause is an action understood: "set", "as default" with the noun between, or
// "generated", "token" and then the noun.
type clause struct {
	// before and after enclose the noun and its names.
	before, after string
	// noun is what the action is about.
	noun []string
	// verb and object are what before was made of when it is about something
	// that the noun has: "generated token for".
	verb   string
	object []string
	// open says that before ends with a preposition that wants a target.
	open bool
	// apart says that the actor is not the subject.
	apart bool
	// itself says that the subject is the noun: "certificate … expired".
	itself bool
	// person says that the noun is not named: "logged in as".
	person bool
}

// read understands an action.
func read(action string) clause {
	segs := segments(action)
	if len(segs) == 0 {
		return clause{before: action, apart: true}
	}
	var noun []string
	for _, s := range segs[:len(segs)-1] {
		noun = append(noun, tokens(s)...)
	}
	verb := tokens(segs[len(segs)-1])
	c, ok := readVerb(noun, verb)
	if !ok {
		return clause{before: phrase(append(noun, verb...)) + " for", apart: true, open: true}
	}
	return c
}

// readVerb understands the last segment of an action.
func readVerb(noun, verb []string) (clause, bool) {
	if len(verb) == 0 {
		return clause{}, false
	}
	if c, ok := readSignIn(noun, verb); ok {
		return c, true
	}
	first, last := past(verb[0]), verb[len(verb)-1]
	rest := verb[1:]
	switch {
	case first != "" && len(verb) == 1:
		return single(noun, first), true
	case first != "" && len(rest) == 1 && particles[rest[0]]:
		return clause{before: first + " " + rest[0], noun: noun}, true
	case first != "" && prepositions[rest[0]] && len(rest) > 1:
		return clause{before: first, after: phrase(rest), noun: noun}, true
	case isPast(last) && len(verb) > 1:
		return nounFirst(noun, verb[:len(verb)-1], past(last)), true
	case first != "":
		return verbFirst(noun, first, rest), true
	case past(last) != "" && len(verb) > 1:
		return nounFirst(noun, verb[:len(verb)-1], past(last)), true
	}
	return clause{}, false
}

// single is for actions such as api_key.created.
func single(noun []string, verb string) clause {
	switch {
	case intransitive[verb] && isSignIn(noun):
		return failedSignIn(verb)
	case intransitive[verb]:
		return clause{before: "", after: verb, noun: noun, apart: true, itself: true}
	case passive[verb] && len(noun) > 0 && gates[noun[len(noun)-1]]:
		return clause{before: "was denied " + phrase(noun) + " " + toOrFor(noun), open: true}
	}
	return clause{before: verb, noun: noun}
}

// nounFirst is for actions such as connector.token_generated, and for
// user_created without a noun.
func nounFirst(noun, object []string, verb string) clause {
	switch {
	case passive[verb] && gates[object[len(object)-1]]:
		return clause{before: "was denied " + phrase(object) + " " + toOrFor(object), noun: noun}
	case len(noun) == 0:
		return single(object, verb)
	case intransitive[verb]:
		return clause{before: phrase(object) + " " + verb + " for", noun: noun, apart: true}
	}
	return withObject(noun, verb, object)
}

// verbFirst is for actions such as team.added_member.
func verbFirst(noun []string, verb string, object []string) clause {
	if len(noun) == 0 {
		return clause{before: verb, noun: object}
	}
	return withObject(noun, verb, object)
}

func withObject(noun []string, verb string, object []string) clause {
	return clause{before: verb + " " + phrase(object) + " " + preposition(verb, object), noun: noun, object: object, verb: verb}
}

// readSignIn is for what people do at the door, which has many names.
func readSignIn(noun, verb []string) (clause, bool) {
	last := verb[len(verb)-1]
	if intransitive[last] && isSignIn(verb[:len(verb)-1]) {
		return failedSignIn(last), true
	}
	whole := strings.Join(verb, " ")
	if len(noun) == 0 && len(verb) > 1 && people[verb[0]] {
		whole = strings.Join(verb[1:], " ")
	}
	done, ok := map[string]string{
		"login": "logged in", "log in": "logged in", "logged in": "logged in",
		"logout": "logged out", "log out": "logged out", "logged out": "logged out",
		"signin": "signed in", "sign in": "signed in", "signed in": "signed in",
		"signout": "signed out", "sign out": "signed out", "signed out": "signed out",
		"signup": "signed up", "sign up": "signed up", "signed up": "signed up",
	}[whole]
	return clause{before: done, noun: noun, person: true}, ok
}

// isSignIn says that words are about signing in.
func isSignIn(words []string) bool {
	switch strings.Join(words, " ") {
	case "login", "log in", "signin", "sign in", "authentication", "session login", "user login", "user sign in", "auth login":
		return true
	}
	return false
}

func failedSignIn(verb string) clause {
	if verb == "succeeded" {
		return clause{before: "signed in", person: true}
	}
	return clause{before: "failed to sign in", person: true}
}

// preposition goes between what was done something with and what it belongs to.
func preposition(verb string, object []string) string {
	if to := toOrFor(object); to != "for" || slices.Contains(forNouns(), object[len(object)-1]) {
		return to
	}
	if p := direction(verb); p != "" {
		return p
	}
	switch verb {
	case "exported", "downloaded", "deleted":
		return "from"
	case "reset", "enabled", "disabled", "started", "stopped", "required":
		return "for"
	}
	return "of"
}

// direction is the preposition that a verb asks for, "" for most.
func direction(verb string) string {
	switch verb {
	case "added", "granted", "gave", "assigned", "attached", "invited", "connected", "linked", "sent", "applied", "uploaded":
		return "to"
	case "removed", "revoked", "took", "detached", "unassigned", "disconnected", "unlinked", "withdrew":
		return "from"
	case "generated", "created", "issued", "set", "requested", "made":
		return "for"
	}
	return ""
}

// forNouns belong to what they are for, whatever is done with them.
func forNouns() []string { return []string{"token", "key", "secret", "code", "password", "mfa", "sso"} }

// toOrFor is the preposition that a noun asks for.
func toOrFor(noun []string) string {
	switch noun[len(noun)-1] {
	case "access", "subscription", "reference", "references", "login":
		return "to"
	case "permission", "permissions", "lock", "hold":
		return "on"
	}
	return "for"
}
