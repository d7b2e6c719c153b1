package words

import "strings"

// irregular are the past forms of verbs that do not add "ed", or that products
// write as one word.
var irregular = map[string]string{ //nolint:gochecknoglobals // a table that is only read
	"begin": "began", "bind": "bound", "break": "broke", "bring": "brought", "build": "built", "buy": "bought", "cut": "cut",
	"do": "did", "draw": "drew", "drive": "drove", "find": "found", "forget": "forgot", "freeze": "froze", "get": "got",
	"give": "gave", "hide": "hid", "hold": "held", "keep": "kept", "leave": "left", "lend": "lent", "let": "let",
	"lose": "lost", "make": "made", "overwrite": "overwrote", "pay": "paid", "put": "put", "read": "read", "rebuild": "rebuilt",
	"reset": "reset", "rewrite": "rewrote", "run": "ran", "see": "saw", "sell": "sold", "send": "sent", "resend": "resent",
	"set": "set", "shut": "shut", "split": "split", "spend": "spent", "steal": "stole", "take": "took", "unbind": "unbound",
	"undo": "undid", "unset": "unset", "withdraw": "withdrew", "write": "wrote", "override": "overrode",
	"login": "logged in", "logon": "logged on", "logout": "logged out", "logoff": "logged off", "signin": "signed in",
	"signout": "signed out", "signup": "signed up", "rollback": "rolled back", "backup": "backed up", "checkout": "checked out",
}

// participles are forms such as "taken", with the past form that a sentence needs.
var participles = map[string]string{ //nolint:gochecknoglobals // a table that is only read
	"begun": "began", "broken": "broke", "drawn": "drew", "driven": "drove", "forgotten": "forgot", "frozen": "froze",
	"given": "gave", "hidden": "hid", "overwritten": "overwrote", "overridden": "overrode", "seen": "saw", "stolen": "stole",
	"taken": "took", "undone": "undid", "done": "did", "withdrawn": "withdrew", "written": "wrote", "rewritten": "rewrote",
}

// pasts are the past forms of irregular.
var pasts = func() map[string]bool { //nolint:gochecknoglobals // a table that is only read
	set := map[string]bool{}
	for _, p := range irregular {
		set[p] = true
	}
	return set
}()

// bases are verbs that products write in their base form, all regular.
//
//nolint:gochecknoglobals // a table that is only read
var bases = verbSet(`abort accept access acknowledge activate add allow amend anonymize anonymise append apply approve archive
	assign attach attempt authenticate authorize authorise ban block call cancel change claim clear clone close complete
	configure confirm connect consume copy create deactivate decline decrease decrypt delete demote deny deploy deprovision
	destroy detach disable disconnect dismiss download duplicate edit elevate enable encrypt enforce enrol enroll erase escalate
	exchange execute expire export extend fail fetch flag follow force fork generate grant impersonate import increase
	initialize insert install invalidate invite invoke issue join kick launch link list load lock mark merge migrate modify
	move mute open patch pause ping pin post promote provision publish purge query quarantine reactivate rebase recover
	redeem refresh register reinstate reject release remove rename renew reopen reorder replace report request require
	resolve restart restore restrict resume retrieve retry review revoke rotate save schedule scrub search share sign skip
	snooze start stop submit subscribe suspend switch sync terminate test transfer trigger trust unarchive unassign unban
	unblock uninstall unlink unlock unmute unpin unpublish unregister unshare unsubscribe update upgrade downgrade upload use
	validate verify view visit watch`)

func verbSet(list string) map[string]bool {
	set := map[string]bool{}
	for v := range strings.FieldsSeq(list) {
		set[v] = true
	}
	return set
}

// notPast end like a past form and are none.
var notPast = verbSet("feed seed need speed embed bed shed red wed embedded unified shared") //nolint:gochecknoglobals // a table that is only read

// isPast says that a word is a past form.
func isPast(w string) bool {
	return pasts[w] || participles[w] != "" || strings.HasSuffix(w, "ed") && len(w) > 3 && !notPast[w]
}

// past returns the past form of a verb, "" for what is no verb that is known.
func past(w string) string {
	if p := participles[w]; p != "" {
		return p
	}
	if p := irregular[w]; p != "" {
		return p
	}
	if isPast(w) {
		return w
	}
	if !bases[w] {
		return ""
	}
	switch n := len(w); {
	case strings.HasSuffix(w, "e"):
		return w + "d"
	case strings.HasSuffix(w, "y") && !strings.ContainsRune("aeiou", rune(w[n-2])):
		return w[:n-1] + "ied"
	case doubled[w]:
		return w + w[n-1:] + "ed"
	}
	return w + "ed"
}

// doubled are the verbs of bases whose last letter is doubled.
var doubled = verbSet("ban unban scrub skip stop pin unpin submit transfer enrol") //nolint:gochecknoglobals // a table that is only read

// prepositions begin what comes after the thing in "set … as default".
var prepositions = verbSet("as to from into via by for with on at in onto under over through without") //nolint:gochecknoglobals // a table that is only read

// particles belong to the verb before them: "rolled back".
var particles = verbSet("in out up down off back on over") //nolint:gochecknoglobals // a table that is only read

// intransitive verbs tell what became of the thing itself.
var intransitive = verbSet("failed succeeded expired lapsed occurred happened elapsed crashed") //nolint:gochecknoglobals // a table that is only read

// passive verbs, after one of gates, say what was done to the actor.
var (
	passive = verbSet("denied blocked refused rejected forbidden")                                //nolint:gochecknoglobals // a table that is only read
	gates   = verbSet("access permission authorization authorisation authentication login entry") //nolint:gochecknoglobals // a table that is only read
)
