package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stelehq/stele/audit"
)

const (
	kills       = 25
	killWriters = 6
	killOrgs    = 3
	killBatch   = 900
	killKey     = "sk_kill_test_root_key_00000"
)

// TestKill kills the server again and again under concurrent writers and then
// looks for every event it ever confirmed: present once, in one gapless order,
// provable, and the data sound. It holds promises 1, 2, 3 and 6. Thousands of events
// a second make the server seal blocks while it is killed.
func TestKill(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	addr, err := freeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	k := &killer{t: t, data: data, addr: addr, confirmed: map[string]audit.Receipt{}}
	k.start()
	for i := range killOrgs {
		k.create(killOrg(i))
	}
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for w := range killWriters {
		writers.Go(func() { k.write(ctx, w) })
	}
	for range kills {
		k.waitConfirmed(1500)
		time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond) // a random moment is the point
		k.kill()
		k.start()
	}
	stop()
	writers.Wait()
	k.verify()
	k.terminate()
	k.check()
	t.Logf("%d kills, %d events confirmed", kills, len(k.confirmed))
}

func killOrg(i int) string { return fmt.Sprintf("org-%d", i) }

// killer runs the server and knows what it confirmed.
type killer struct {
	t          *testing.T
	data, addr string
	cmd        *exec.Cmd
	stderr     bytes.Buffer

	mu        sync.Mutex
	confirmed map[string]audit.Receipt // by marker
	fresh     int                      // confirmed since the last start
}

func (k *killer) start() {
	k.t.Helper()
	k.stderr.Reset()
	k.cmd = steleCommand(k.t.Context(), "serve", "--data", k.data, "--listen", k.addr, "--log-level", "error", "--reserve-mib", "0")
	k.cmd.Env = append(k.cmd.Env, "STELE_ROOT_KEY="+killKey)
	k.cmd.Stderr = &k.stderr
	if err := k.cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	for deadline := time.Now().Add(60 * time.Second); !isReady("http://" + k.addr); {
		if time.Now().After(deadline) {
			k.kill()
			k.t.Fatalf("the server did not start again:\n%s", k.stderr.String())
		}
		time.Sleep(5 * time.Millisecond) // polls another process; bounded by the deadline
	}
	k.mu.Lock()
	k.fresh = 0
	k.mu.Unlock()
}

func (k *killer) kill() {
	_ = k.cmd.Process.Kill()
	_ = k.cmd.Wait()
}

func (k *killer) terminate() {
	if err := k.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		k.t.Fatal(err)
	}
	if err := k.cmd.Wait(); err != nil {
		k.t.Errorf("the server did not exit with 0 on SIGTERM: %v\n%s", err, k.stderr.String())
	}
}

// waitConfirmed waits until the running server has confirmed n events, so that
// every round really writes.
func (k *killer) waitConfirmed(n int) {
	k.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; {
		k.mu.Lock()
		fresh := k.fresh
		k.mu.Unlock()
		if fresh >= n {
			return
		}
		if time.Now().After(deadline) {
			k.t.Fatalf("only %d events confirmed in a minute:\n%s", fresh, k.stderr.String())
		}
		time.Sleep(time.Millisecond) // polls a counter; bounded by the deadline
	}
}

func (k *killer) create(org string) {
	k.t.Helper()
	status, body := k.post(k.t.Context(), "/v1/organizations", fmt.Sprintf(`{"id":%q,"name":%q}`, org, org))
	if status != http.StatusCreated {
		k.t.Fatalf("create %s: %d %s", org, status, body)
	}
}

// write sends batches until ctx ends. A batch without an answer is sent again,
// with the same keys, until there is one: it may or may not have been recorded.
func (k *killer) write(ctx context.Context, writer int) {
	for n := 0; ctx.Err() == nil; n++ {
		org, events := killOrg((writer+n)%killOrgs), 1+rand.IntN(5)
		if writer == 0 { // fills one organization, so that the server seals it meanwhile
			org, events = killOrg(0), killBatch
		}
		markers := make([]string, events)
		var body bytes.Buffer
		body.WriteByte('[')
		for i := range markers {
			markers[i] = fmt.Sprintf("%d-%d-%d", writer, n, i)
			if i > 0 {
				body.WriteByte(',')
			}
			fmt.Fprintf(&body, `{"idempotency_key":%q,"action":"thing.changed","occurred_at":"2026-03-01T09:30:00Z","actor":{"type":"user","id":%q}}`, markers[i], markers[i])
		}
		body.WriteByte(']')
		for {
			// Not ctx: what is under way at the end is finished, so that it
			// is known whether it was confirmed.
			status, answer := k.post(k.t.Context(), "/v1/organizations/"+org+"/events", body.String())
			if status == http.StatusCreated {
				k.confirm(org, markers, answer)
				break
			}
			if status != 0 && status != http.StatusServiceUnavailable {
				k.t.Errorf("record: %d %s", status, answer)
				return
			}
			time.Sleep(2 * time.Millisecond) // the server is down; tries again
		}
	}
}

func (k *killer) confirm(org string, markers []string, answer []byte) {
	var a struct {
		Entries []audit.Receipt `json:"entries"`
	}
	if err := json.Unmarshal(answer, &a); err != nil || len(a.Entries) != len(markers) {
		k.t.Errorf("answer for %d events: %v %s", len(markers), err, answer)
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, m := range markers {
		k.confirmed[org+"/"+m] = a.Entries[i]
	}
	k.fresh += len(markers)
}

// post returns status 0 when there was no whole answer.
func (k *killer) post(ctx context.Context, path, body string) (int, []byte) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+k.addr+path, bytes.NewReader([]byte(body)))
	if err != nil {
		k.t.Error(err)
		return 0, nil
	}
	req.Header.Set("Authorization", "Bearer "+killKey)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil
	}
	defer res.Body.Close() //nolint:errcheck // read below
	var answer bytes.Buffer
	if _, err := answer.ReadFrom(res.Body); err != nil {
		return 0, nil
	}
	return res.StatusCode, answer.Bytes()
}

// verify reads everything back over HTTP.
func (k *killer) verify() {
	client := audit.NewClient("http://"+k.addr, killKey)
	seen := map[string]audit.Receipt{}
	for i := range killOrgs {
		org := killOrg(i)
		seqs := map[uint64]bool{}
		for e, err := range client.Entries(k.t.Context(), org, audit.Query{}, audit.SearchOptions{Limit: audit.MaxQueryLimit}) {
			if err != nil {
				k.t.Fatal(err)
			}
			marker := org + "/" + e.Actor.ID
			if first, twice := seen[marker]; twice {
				k.t.Errorf("%s was recorded as %d and %d", marker, first.Seq, e.Seq)
			}
			seen[marker] = audit.Receipt{ID: e.ID, Seq: e.Seq, ReceivedAt: e.ReceivedAt}
			seqs[e.Seq] = true
		}
		for seq := range uint64(len(seqs)) {
			if !seqs[seq] {
				k.t.Errorf("%s has %d entries but none with seq %d", org, len(seqs), seq)
			}
		}
		k.verifyLog(client, org, uint64(len(seqs)))
	}
	for marker, want := range k.confirmed {
		got, ok := seen[marker]
		if !ok {
			k.t.Errorf("%s was confirmed as %d and is lost", marker, want.Seq)
		} else if got.ID != want.ID || got.Seq != want.Seq || !got.ReceivedAt.Equal(want.ReceivedAt) {
			k.t.Errorf("%s was confirmed as %+v and is %+v", marker, want, got)
		}
	}
}

func (k *killer) verifyLog(client *audit.Client, org string, entries uint64) {
	v := k.verifier()
	report, err := audit.VerifyLog(k.t.Context(), client.Log(org), v, audit.LogOptions{})
	if err != nil {
		k.t.Errorf("verify the log of %s: %v", org, err)
	} else if report.Entries != entries {
		k.t.Errorf("the log of %s has %d entries, search finds %d", org, report.Entries, entries)
	}
}

func (k *killer) verifier() *audit.Verifier {
	k.t.Helper()
	text, err := audit.NewClient("http://"+k.addr, killKey).VerifierKey(k.t.Context())
	if err != nil {
		k.t.Fatal(err)
	}
	v, err := audit.NewVerifier(text)
	if err != nil {
		k.t.Fatal(err)
	}
	return v
}

// check runs "stele check" on what is left.
func (k *killer) check() {
	out, err := steleCommand(k.t.Context(), "check", "--data", k.data).CombinedOutput()
	if err != nil {
		k.t.Errorf("stele check: %v\n%s", err, out)
	}
}
