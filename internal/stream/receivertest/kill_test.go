package receivertest

import (
	"cmp"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stelehq/stele/audit"
)

const rootKey = "sk_a_key_that_only_these_tests_know"

// newStele builds the real server and makes ready to run it.
func newStele(t *testing.T) (*program, *audit.Client) {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "stele")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./cmd/stele")
	build.Dir = repository
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the server: %v\n%s", err, out)
	}
	address, _ := freeAddress(t)
	return &program{
		t: t, name: binary, address: address,
		args: []string{"serve", "--data", filepath.Join(dir, "data"), "--listen", address, "--stream-allow", "127.0.0.1"},
		env:  []string{"STELE_ROOT_KEY=" + rootKey},
	}, audit.NewClient("http://"+address, rootKey)
}

// TestKill runs the real server with a webhook and a bucket that fail in every way,
// and kills it with -9 again and again while it records and delivers. When the
// receivers are well again, nothing is missing, order is kept, what came twice is
// identical, and what was refused is a dead letter.
func TestKill(t *testing.T) {
	t.Parallel()
	const requests, each, kills = 60, 50, 8
	c := newChaos(t)
	server, client := newStele(t)
	server.start()
	if _, err := client.CreateOrganization(t.Context(), organization, audit.OrganizationChange{Name: new("Acme")}); err != nil {
		t.Fatal(err)
	}
	streams := chaosStreams(t, client, c)
	recorded := make(chan error, 1)
	go func() { recorded <- recordChaos(t, client, requests, each) }()
	for n := 0; n < kills || !c.tried() && n < 5*kills; n++ {
		hurry(t, client, streams)
		time.Sleep(time.Duration(300+c.random(900)) * time.Millisecond) // a kill comes at any moment
		server.kill()
		server.start()
	}
	if err := <-recorded; err != nil {
		t.Fatal(err)
	}
	c.heal()
	for _, id := range streams {
		var last *audit.Stream
		waitFor(t, "all is delivered", func() bool {
			hurry(t, client, streams)
			st, err := client.Stream(t.Context(), organization, id)
			if err != nil {
				t.Fatal(err)
			}
			last = st
			return st.Status.LagEvents == 0 && st.Status.State == audit.StreamActive
		}, func() string { return fmt.Sprintf("%+v, %+v", last.Status, last.Status.LastError) })
	}
	checkKill(t, client, c, streams, requests*each)
}

func checkKill(t *testing.T, client *audit.Client, c *chaos, streams []string, events int) {
	t.Helper()
	var log []delivered
	var poisoned, refused []uint64
	own := 0 // what the server itself records about the streams
	for e, err := range client.Entries(t.Context(), organization, audit.Query{}, audit.SearchOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		log = append(log, delivered{e.ID, e.Seq})
		if strings.HasPrefix(e.Action, "log_stream.") {
			own++
		}
		if e.Actor.Name == poison {
			poisoned = append(poisoned, e.Seq)
		}
	}
	slices.SortFunc(log, func(a, b delivered) int { return cmp.Compare(a.Seq, b.Seq) })
	slices.Sort(poisoned)
	if len(log) != events+own {
		t.Errorf("%d entries are recorded, want %d", len(log), events+own)
	}
	for d, err := range client.StreamDeadLetters(t.Context(), organization, streams[0]) {
		if err != nil {
			t.Fatal(err)
		}
		refused = append(refused, d.Seq)
	}
	slices.Sort(refused)
	if len(poisoned) == 0 || !slices.Equal(refused, poisoned) {
		t.Errorf("dead letters are %v, want %v", refused, poisoned)
	}
	hooked, again := c.hooked()
	missing(t, "webhook", hooked, log, poisoned)
	missing(t, "bucket", c.stored(), log, nil)
	repeats, faults := c.count()
	if !c.tried() || repeats == 0 {
		t.Errorf("%d attempts were not the first, faults %v: this tests nothing", repeats, faults)
	}
	t.Logf("%d events, %d of them again; %d attempts were not the first; faults %v", len(hooked), again, repeats, faults)
}

// chaosStreams makes the streams: to the webhook first, then to the bucket. The
// webhook begins with a name that does not resolve.
func chaosStreams(t *testing.T, client *audit.Client, c *chaos) []string {
	t.Helper()
	hook := func(base string) map[string]string {
		return map[string]string{"url": base + "/hook", "signing_secret": hookSecret, "ca_certificate": c.cert.pem}
	}
	create := func(kind string, settings map[string]string) string {
		st, err := client.CreateStream(t.Context(), organization, audit.NewStream{Kind: kind, Settings: settings, Start: &audit.StreamStart{Kind: "beginning"}})
		if err != nil {
			t.Fatal(err)
		}
		return st.ID
	}
	first := create("webhook", hook("https://receiver.invalid"))
	second := create("s3", map[string]string{
		"bucket": bucket, "endpoint": c.URL, "access_key_id": "k", "secret_access_key": "s", "ca_certificate": c.cert.pem, "flush_minutes": "1",
	})
	waitFor(t, "a name that does not resolve is said", func() bool {
		st, err := client.Stream(t.Context(), organization, first)
		if err != nil {
			t.Fatal(err)
		}
		e := st.Status.LastError
		return e != nil && e.Code == "dns" && e.Class == "retry" && st.Status.State == audit.StreamDegraded
	}, func() string { return "it is not" })
	if _, err := client.UpdateStream(t.Context(), organization, first, audit.StreamChange{Settings: hook(c.URL)}); err != nil {
		t.Fatal(err)
	}
	return []string{first, second}
}

// recordChaos records events in requests that are repeated until they are
// acknowledged.
func recordChaos(t *testing.T, client *audit.Client, requests, each int) error {
	for r := range requests {
		var events []audit.Event
		for i := range each {
			n := r*each + i
			name := "Ada"
			if n%701 == 350 {
				name = poison
			}
			events = append(events, audit.Event{
				Action: "user.updated", Actor: audit.Actor{Type: "user", ID: fmt.Sprint("u", n), Name: name}, OccurredAt: time.Now(),
				IdempotencyKey: fmt.Sprint("event ", n), Metadata: audit.Metadata{"text": strings.Repeat("long ", 100)},
			})
		}
		for {
			_, err := client.RecordBatch(t.Context(), organization, events, audit.BatchOptions{})
			if err == nil {
				break
			}
			if t.Context().Err() != nil {
				return err
			}
			time.Sleep(50 * time.Millisecond) // the server is dead at the moment
		}
		time.Sleep(100 * time.Millisecond) // so that recording goes on while the server is killed
	}
	return nil
}

// hurry asks receivers again that a stream waits for, as an owner would who knows
// that they are back.
func hurry(t *testing.T, client *audit.Client, streams []string) {
	t.Helper()
	for _, id := range streams {
		st, err := client.Stream(t.Context(), organization, id)
		if err == nil && time.Until(st.Status.NextAttempt) > time.Second {
			_, err = client.ResumeStream(t.Context(), organization, id)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
