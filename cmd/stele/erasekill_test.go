package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stelehq/stele/audit"
)

const (
	eraseKills  = 12
	erasePeople = eraseKills + 1
	eraseEach   = 150 // entries of each person
)

// TestKillErasing kills the server while it erases, again and again, and lets it
// start again: each erasure comes to its end by itself, with one entry in the log,
// and nothing is lost but the details of those who were erased.
func TestKillErasing(t *testing.T) {
	addr, err := freeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	k := &killer{t: t, data: filepath.Join(t.TempDir(), "data"), addr: addr, confirmed: map[string]audit.Receipt{}}
	k.start()
	k.create("acme")
	client := audit.NewClient("http://"+addr, killKey)
	var events []audit.Event
	for i := range erasePeople * eraseEach {
		who := fmt.Sprint("u", i%erasePeople)
		events = append(events, audit.Event{
			Action: "thing.changed", OccurredAt: time.Unix(1_772_000_000, int64(i)*1e6), IdempotencyKey: fmt.Sprint("e", i),
			Actor: audit.Actor{Type: "user", ID: who, Name: "Name of " + who}, Metadata: audit.Metadata{"note": "for " + who},
		})
	}
	if _, err := client.RecordBatch(t.Context(), "acme", events, audit.BatchOptions{}); err != nil {
		t.Fatal(err)
	}
	brokenOff := 0
	for i := range eraseKills {
		who := fmt.Sprint("u", i)
		id := k.askErasure(t, client, who)
		time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond) // a random moment is the point
		k.kill()
		killed := time.Now()
		k.start()
		if id == "" {
			id = k.askErasure(t, client, who)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		e, err := client.WaitErasure(ctx, "acme", id, nil)
		cancel()
		if err != nil || e.Erased != eraseEach || e.Found != eraseEach || e.Entry == nil {
			t.Fatalf("erasure of %s: %+v, %v", who, e, err)
		}
		if e.DoneAt.After(killed) {
			brokenOff++
		}
	}
	if brokenOff == 0 {
		t.Error("no erasure was broken off")
	}
	t.Logf("%d of %d erasures were broken off", brokenOff, eraseKills)
	k.verifyErased(t, client)
	k.terminate()
	k.check()
}

// askErasure asks for an erasure, or finds that which a broken answer was about.
func (k *killer) askErasure(t *testing.T, client *audit.Client, who string) string {
	t.Helper()
	e, err := client.CreateErasure(t.Context(), "acme", audit.ErasureRequest{Subject: who, Reference: "R-" + who})
	if errors.Is(err, &audit.Error{Code: audit.CodeConflict}) {
		for e, err := range client.Erasures(t.Context(), "acme") {
			if err != nil {
				t.Fatal(err)
			}
			if e.Subject == who {
				return e.ID
			}
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return e.ID
}

// verifyErased reads the log: whose details are there, and what says so.
func (k *killer) verifyErased(t *testing.T, client *audit.Client) {
	t.Helper()
	named, erased, said, seqs := map[string]int{}, map[string]int{}, map[string]int{}, map[uint64]bool{}
	for e, err := range client.Entries(t.Context(), "acme", audit.Query{}, audit.SearchOptions{Limit: audit.MaxQueryLimit}) {
		if err != nil {
			t.Fatal(err)
		}
		seqs[e.Seq] = true
		switch {
		case e.Action == "subject.erased":
			said[e.Targets[0].ID]++
			if e.Metadata["reference"] != "R-"+e.Targets[0].ID || e.Metadata["entries"] != float64(eraseEach) {
				t.Errorf("%+v", e)
			}
		case e.ErasedAt.IsZero():
			named[e.Actor.ID]++
			if !strings.HasSuffix(e.Actor.Name, e.Actor.ID) || e.Metadata["note"] != "for "+e.Actor.ID {
				t.Errorf("%+v", e)
			}
		default:
			erased[e.Actor.ID]++
			if e.Actor.Name != "" || e.Metadata != nil {
				t.Errorf("%+v", e)
			}
		}
	}
	if want := erasePeople*eraseEach + eraseKills; len(seqs) != want {
		t.Errorf("%d entries, want %d", len(seqs), want)
	}
	for i := range eraseKills {
		who := fmt.Sprint("u", i)
		if named[who] != 0 || erased[who] != eraseEach || said[who] != 1 {
			t.Errorf("%s: %d named, %d erased, %d entries say so", who, named[who], erased[who], said[who])
		}
	}
	if last := fmt.Sprint("u", eraseKills); named[last] != eraseEach || erased[last] != 0 {
		t.Errorf("%s: %d named, %d erased", last, named[last], erased[last])
	}
}
