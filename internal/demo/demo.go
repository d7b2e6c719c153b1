// Package demo makes a believable organization's year of audit events from a
// catalogue of schemas, so that a server started to be looked at has something
// to show: people with working hours and holidays, programs with their
// schedules, incidents at night, and a few stories to find. Everything follows
// from a seed and an end time; names, addresses and incidents are invented.
package demo

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/schema"
)

// Item is an event and when the server receives it. Events that a product sends
// in one batch have the same time.
type Item struct {
	Event      audit.Event
	ReceivedAt time.Time
}

// Organization describes one of the demo's organizations.
type Organization struct {
	// ID is its identifier, the same each time.
	ID string
	// Name is the company's, ExternalID the product's word for it.
	Name, ExternalID string
	// Domain is that of its people's addresses; it ends in ".example".
	Domain string
}

// Generator makes one organization's events. It is never changed and may be
// used concurrently.
type Generator struct {
	seed   uint64
	end    time.Time
	org    Organization
	people string
	size   float64 // see sim
	pace   float64
}

// Main returns the large organization: about 50,000 events in the year before
// end.
func Main(seed uint64, end time.Time) *Generator {
	return &Generator{seed: seed, end: end.UTC(), people: peopleText, size: 1, pace: 1.07, org: Organization{
		ID: "org_corvane", Name: "Corvane Logistics", ExternalID: "corvane", Domain: "corvane.example",
	}}
}

// Second returns the small organization: about 2,500 events in the year before
// end, none of them, and nobody in them, from the large one.
func Second(seed uint64, end time.Time) *Generator {
	return &Generator{seed: seed + 1, end: end.UTC(), people: peopleSecondText, size: 0.05, pace: 0.42, org: Organization{
		ID: "org_pellworth", Name: "Pellworth Labs", ExternalID: "pellworth", Domain: "pellworth.example",
	}}
}

// Organization says whose events they are.
func (g *Generator) Organization() Organization { return g.org }

// Start is when the year begins; the history of the organization's log does.
func (g *Generator) Start() time.Time { return g.end.AddDate(-1, 0, 0) }

// All yields the events in the order in which they are received: times of
// receipt never decrease, and are before the end. Each call yields the same.
func (g *Generator) All() iter.Seq[Item] {
	return func(yield func(Item) bool) { g.sim().run(yield) }
}

// sim readies the organization and plans its year.
func (g *Generator) sim() *sim {
	rng := rand.New(rand.NewPCG(g.seed, 0x57e1e)) //nolint:gosec // repeatable on purpose; nothing secret comes of it
	own := g.names()
	s := &sim{
		rng: rng, org: g.org, start: g.Start(), end: g.end, size: g.size, pace: g.pace,
		words: readWords(own.Replace(wordsText)), kinds: readKinds(own.Replace(kindsText)), things: map[string][]*thing{},
	}
	s.readPeople(g.people)
	s.furnish()
	s.planPeople()
	s.planMachines()
	s.planIncidents()
	s.planStories()
	return s
}

// names replaces what belongs to the large organization in the texts.
func (g *Generator) names() *strings.Replacer {
	pairs := []string{"corvane", g.org.ExternalID, "Corvane", strings.Fields(g.org.Name)[0]}
	if g.size < 1 {
		for _, row := range readWords(wordsText)["second"] {
			pairs = append(pairs, row[0], row[1])
		}
	}
	return strings.NewReplacer(pairs...)
}

// Catalogue returns the catalogue that the events are made from: 203 schemas of
// 180 actions of an incident management product.
func Catalogue() (*schema.Catalogue, error) {
	c, err := schema.ParseCatalogue(catalogueJSON)
	if err != nil {
		return nil, fmt.Errorf("read the demo's catalogue: %w", err)
	}
	return c, nil
}
