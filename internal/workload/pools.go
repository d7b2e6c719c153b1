package workload

import (
	"fmt"
	"math/rand/v2"
)

// pools hold every value that events are drawn from, rendered as JSON once.
// They are the same for every seed, so that queries can name them.
type pools struct {
	actions, users, apiKeys, systems, workflows, resources, alerts []string
	targets, locations, userAgents, reasons, words                 []string
}

func newPools() *pools {
	rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // repeatable on purpose
	p := &pools{words: words(), reasons: reasons()}
	verbs := []string{"created", "updated", "deleted", "viewed", "enabled", "disabled", "invited", "exported"}
	for i := range actions {
		p.actions = append(p.actions, nouns()[i%len(nouns())]+"."+verbs[i/len(nouns())%len(verbs)])
	}
	for i := range users {
		p.users = append(p.users, fmt.Sprintf(
			`{"type":"user","id":"%s","name":"%s %s","metadata":{"user_base_role_slug":"%s","user_custom_role_slugs":"%s,%s"}}`,
			UserID(i), title(p.words[i%len(p.words)]), title(p.words[(i*7+3)%len(p.words)]),
			pickOf(rng, "viewer", "editor", "admin", "owner"), pickOf(rng, "on-call", "billing", "support"), pickOf(rng, "auditor", "responder", "none")))
	}
	p.apiKeys = parties(rng, "api_key", 50, `"api_key_roles":"incidents.write"`)
	p.systems = parties(rng, "system", 5, "")
	p.workflows = parties(rng, "workflow", 40, "")
	p.resources = parties(rng, "external_resource", 100, `"external_resource_type":"ticket"`)
	p.alerts = parties(rng, "alert", 200, `"alert_source_id":"src_9"`)
	for i := range targets {
		noun := nouns()[i%len(nouns())]
		p.targets = append(p.targets, fmt.Sprintf(`{"type":"%s","id":"%s","name":"%s %s %d"}`,
			noun, TargetID(i), title(p.words[i%len(p.words)]), noun, i))
	}
	for range locations {
		p.locations = append(p.locations, fmt.Sprintf("%d.%d.%d.%d", 1+rng.IntN(220), rng.IntN(256), rng.IntN(256), 1+rng.IntN(254)))
	}
	for i := range userAgents {
		p.userAgents = append(p.userAgents, fmt.Sprintf(
			"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_%d) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/1%02d.0.0.0 Safari/537.36", i%8, 10+i/2))
	}
	return p
}

// UserID is the id of the i-th user, 0 being the most frequent.
func UserID(i int) string { return ident("01GU", i) }

// TargetID is the id of the i-th target, 0 being the most frequent.
func TargetID(i int) string { return ident("01GT", i) }

// Actions are the names of all actions but [RareAction], the most frequent
// first.
func Actions() []string { return newPools().actions }

// ident spreads i over 22 characters after a prefix of four, as ids of products
// look: 26 characters that compress badly.
func ident(prefix string, i int) string {
	const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	rng := rand.New(rand.NewPCG(uint64(i), uint64(len(prefix)))) //nolint:gosec // repeatable on purpose
	b := []byte(prefix)
	for len(b) < 26 {
		b = append(b, alphabet[rng.IntN(32)])
	}
	return string(b)
}

func parties(rng *rand.Rand, kind string, n int, metadata string) []string {
	list := make([]string, n)
	for i := range list {
		meta := ""
		if metadata != "" {
			meta = `,"metadata":{` + metadata + `}`
		}
		list[i] = fmt.Sprintf(`{"type":"%s","id":"%s","name":"%s %s"%s}`,
			kind, ident("01GP", i+1000*rng.IntN(1000)), title(words()[rng.IntN(len(words()))]), kind, meta)
	}
	return list
}

func (*pools) pick(dst []byte, rng *rand.Rand, from []string) []byte {
	return append(dst, from[rng.IntN(len(from))]...)
}

func pickOf(rng *rand.Rand, from ...string) string { return from[rng.IntN(len(from))] }

func title(s string) string { return string(s[0]-'a'+'A') + s[1:] }

func nouns() []string {
	return []string{
		"api_key", "user", "role", "team", "incident", "schedule", "workflow", "integration", "severity",
		"status_page", "escalation_path", "alert_source", "secret", "policy", "custom_field", "catalog_entry",
		"domain", "invoice", "webhook", "session", "report", "dashboard", "project", "environment", "token",
	}
}

func reasons() []string {
	return []string{
		"requested by the customer", "quarterly access review", "left the company", "moved to another team",
		"rotation of credentials", "cleanup of stale objects", "incident response", "change approved in review",
	}
}

func words() []string {
	return []string{
		"amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "harbor", "indigo", "juniper", "kestrel",
		"lagoon", "meadow", "nimbus", "orchid", "pepper", "quartz", "ripple", "saffron", "timber", "umber", "velvet",
		"willow", "yarrow", "zephyr", "basil", "copper", "dune", "elm", "flint", "garnet", "hazel", "iris", "jade",
	}
}
