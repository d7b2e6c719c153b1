package app

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/ledger"
)

// lifeDir, in the environment, is the data directory of the server that the test
// binary is then.
const lifeDir = "LIFE_TEST_DATA"

// TestLifeServer is no test but the server of TestLife: a process of its own,
// which can be killed. Its clock goes as far ahead as it is told.
func TestLifeServer(t *testing.T) {
	dir := os.Getenv(lifeDir)
	if dir == "" {
		t.Skip("only as a process of TestLife")
	}
	var ahead atomic.Int64
	if text, err := os.ReadFile(dir + ".clock"); err == nil {
		var n int64
		_, _ = fmt.Sscan(string(text), &n)
		ahead.Store(n)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a, err := Open(t.Context(), Config{
		Data: dir, Listen: ln.Addr().String(), RootKey: agedKey, SchemaMode: "open", IdempotencyWindow: 24 * time.Hour,
		ExportKeep: time.Hour, CacheMiB: 8, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
		Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
	})
	if err != nil {
		t.Fatal(err)
	}
	a.Retention.Start()
	mux := http.NewServeMux()
	mux.Handle("/", a)
	mux.HandleFunc("POST /life/pass/{by}", func(w http.ResponseWriter, r *http.Request) {
		by, err := time.ParseDuration(r.PathValue("by"))
		if err == nil {
			err = os.WriteFile(dir+".clock", fmt.Append(nil, ahead.Add(int64(by))), 0o600)
		}
		lifeAnswer(w, nil, err)
	})
	mux.HandleFunc("POST /life/apply/{org}", func(w http.ResponseWriter, r *http.Request) {
		c, err := a.Retention.Apply(r.Context(), r.PathValue("org"))
		lifeAnswer(w, c, err)
	})
	mux.HandleFunc("POST /life/check/{org}", func(w http.ResponseWriter, r *http.Request) {
		var problems []string
		_, err := a.Ledger.Check(r.Context(), r.PathValue("org"), func(p ledger.Problem) {
			problems = append(problems, fmt.Sprintf("%d..%d %s", p.From, p.To, p.What))
		})
		err = errors.Join(err, a.Store.Check(r.Context(), func(p error) { problems = append(problems, p.Error()) }))
		lifeAnswer(w, problems, err)
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	mux.HandleFunc("POST /life/stop", func(w http.ResponseWriter, _ *http.Request) {
		lifeAnswer(w, nil, nil)
		go func() { _ = srv.Shutdown(context.Background()) }()
	})
	fmt.Println("LISTENING", ln.Addr())
	_ = srv.Serve(ln)
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

func lifeAnswer(w http.ResponseWriter, v any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(w).Encode(v)
}

// life is the world outside the server: what it was told, and what must hold.
type life struct {
	t      *testing.T
	dir    string
	rnd    *rand.Rand
	cmd    *exec.Cmd
	url    string
	client *audit.Client
	n      int
	orgs   map[string]*lifeOrg
	trace  []string
}

type lifeOrg struct {
	names       map[string]string // by entry id: the unique name in it
	actors      map[string]string // by entry id
	holds       map[string]string // by hold id: the actor it is about
	held        map[string]map[string]bool
	gone        map[string]bool // unique names that were erased
	checkpoints [][]byte
}

// TestLife lets a server live through a random mix of what can happen to it,
// killed at any moment, and looks after each step that what must hold does.
func TestLife(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes for most of a minute")
	}
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("LIFE_TEST_SEED"); text != "" {
		_, _ = fmt.Sscan(text, &seed)
	}
	t.Logf("LIFE_TEST_SEED=%d", seed)
	l := &life{t: t, dir: filepath.Join(t.TempDir(), "data"), rnd: rand.New(rand.NewPCG(seed, 1)), orgs: map[string]*lifeOrg{}}
	defer func() {
		if t.Failed() {
			t.Log(strings.Join(l.trace, "\n"))
		}
		_ = l.cmd.Process.Kill()
		_ = l.cmd.Wait()
	}()
	l.start()
	for _, org := range []string{"acme", "other"} {
		_, err := l.client.CreateOrganization(t.Context(), org, audit.OrganizationChange{Name: &org})
		l.must(err)
		l.orgs[org] = &lifeOrg{
			names: map[string]string{}, actors: map[string]string{}, holds: map[string]string{}, held: map[string]map[string]bool{}, gone: map[string]bool{},
		}
		l.record(org, 8)
	}
	end := time.Now().Add(20 * time.Second)
	for time.Now().Before(end) && !t.Failed() {
		l.step()
		for org := range l.orgs {
			l.verify(org)
		}
	}
	t.Logf("%d steps", len(l.trace))
}

func (l *life) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *life) start() {
	l.t.Helper()
	l.cmd = exec.Command(os.Args[0], "-test.run", "^TestLifeServer$")
	l.cmd.Env = append(os.Environ(), lifeDir+"="+l.dir)
	l.cmd.Stderr = os.Stderr
	out, err := l.cmd.StdoutPipe()
	l.must(err)
	l.must(l.cmd.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if addr, ok := strings.CutPrefix(lines.Text(), "LISTENING "); ok {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			l.url = "http://" + addr
			l.client = audit.NewClient(l.url, agedKey)
			return
		}
	}
	l.t.Fatal("the server did not start")
}

// ask asks the server something that only this test can.
func (l *life) ask(path string, into any) error {
	res, err := http.Post(l.url+"/life/"+path, "", nil)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, text)
	}
	if err == nil && into != nil {
		err = json.Unmarshal(text, into)
	}
	return err
}

func (l *life) step() {
	l.t.Helper()
	org := []string{"acme", "acme", "other"}[l.rnd.IntN(3)]
	o := l.orgs[org]
	what := []string{"record", "record", "pass", "pass", "policy", "hold", "lift", "erase", "apply", "apply", "restart", "kill", "kill"}[l.rnd.IntN(13)]
	l.trace = append(l.trace, fmt.Sprintf("%d %s %s", len(l.trace), org, what))
	switch what {
	case "record":
		l.record(org, 1+l.rnd.IntN(6))
	case "pass":
		l.must(l.ask(fmt.Sprintf("pass/%dh", 24*(1+l.rnd.IntN(60))), nil))
	case "policy":
		p := audit.RetentionPolicy{
			Days: []int{0, 30, 60, 120}[l.rnd.IntN(4)], Actions: []audit.RetentionAction{{Pattern: "a.one", Days: []int{0, 30, 90}[l.rnd.IntN(3)]}},
		}
		all := uint64(1 << 40)
		_, err := l.client.SetRetention(l.t.Context(), org, p, &all)
		l.must(err)
	case "hold":
		l.hold(org)
	case "lift":
		for id := range o.holds {
			_, err := l.client.LiftHold(l.t.Context(), org, id, "")
			l.must(err)
			delete(o.holds, id)
			delete(o.held, id)
			break
		}
	case "erase":
		actor := l.actor()
		l.must(l.erase(org, actor))
	case "apply":
		l.must(l.ask("apply/"+org, nil))
	case "restart":
		l.must(l.ask("stop", nil))
		l.must(l.cmd.Wait())
		l.offline()
		l.start()
	case "kill":
		l.kill(org)
	}
}

func (l *life) actor() string { return fmt.Sprintf("u%d", l.rnd.IntN(4)) }

func (l *life) record(org string, n int) {
	l.t.Helper()
	o := l.orgs[org]
	for range n {
		l.n++
		name := fmt.Sprintf("Unique-%s-%d-%x", org, l.n, l.rnd.Uint64())
		actor := l.actor()
		done, err := l.client.Record(l.t.Context(), org, audit.Event{
			Action: []string{"a.one", "a.two"}[l.rnd.IntN(2)], OccurredAt: time.Now(), Actor: audit.Actor{Type: "user", ID: actor, Name: name},
		})
		l.must(err)
		id := done.ID
		o.names[id], o.actors[id] = name, actor
		for hold, of := range o.holds {
			if of == actor {
				o.held[hold][id] = true
			}
		}
	}
}

func (l *life) hold(org string) {
	l.t.Helper()
	o, actor := l.orgs[org], l.actor()
	q := audit.Query{Filters: []audit.Filter{{Field: audit.FieldActorID, Values: []string{actor}}}}
	h, err := l.client.CreateHold(l.t.Context(), org, audit.NewHold{Name: "matter", Query: q.String(), Reason: "test"})
	l.must(err)
	o.holds[h.ID], o.held[h.ID] = actor, map[string]bool{}
	for _, e := range l.entries(org, q) {
		o.held[h.ID][e.ID] = true
	}
}

// erase erases an actor. What no hold keeps is gone then.
func (l *life) erase(org, actor string) error {
	o := l.orgs[org]
	for open, err := range l.client.Erasures(l.t.Context(), org) { // that a killed server left
		if err == nil {
			_, err = l.client.WaitErasure(l.t.Context(), org, open.ID, nil)
		}
		if err != nil {
			return err
		}
	}
	made, err := l.client.CreateErasure(l.t.Context(), org, audit.ErasureRequest{Subject: actor, Reference: "R-1"})
	if err == nil {
		made, err = l.client.WaitErasure(l.t.Context(), org, made.ID, nil)
	}
	if err != nil {
		return err
	}
	if made.State != "done" {
		return fmt.Errorf("the erasure is %s: %s", made.State, made.Error)
	}
	for id, name := range o.names {
		if o.actors[id] == actor && !l.isHeld(org, id) {
			o.gone[name] = true
		}
	}
	return nil
}

func (l *life) isHeld(org, id string) bool {
	for _, held := range l.orgs[org].held {
		if held[id] {
			return true
		}
	}
	return false
}

// kill kills the process while it does something, and starts it again. Whatever
// that was goes on then, or is asked for again.
func (l *life) kill(org string) {
	l.t.Helper()
	var doing sync.WaitGroup
	url, client := l.url, audit.NewClient(l.url, agedKey)
	client.HTTP = &http.Client{Timeout: 5 * time.Second}
	ctx, cancel := context.WithTimeout(l.t.Context(), 5*time.Second)
	defer cancel()
	actor, erases := l.actor(), l.rnd.IntN(2) == 0
	doing.Go(func() {
		if erases {
			_, _ = client.CreateErasure(ctx, org, audit.ErasureRequest{Subject: actor, Reference: "R-2"})
			return
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/life/apply/"+org, nil)
		if err != nil {
			return
		}
		if res, err := http.DefaultClient.Do(req); err == nil {
			_ = res.Body.Close()
		}
	})
	time.Sleep(time.Duration(l.rnd.IntN(60)) * time.Millisecond) // any moment will do
	_ = l.cmd.Process.Kill()
	_ = l.cmd.Wait()
	cancel()
	doing.Wait()
	l.offline()
	l.start()
	if erases {
		l.must(l.erase(org, actor))
	} else {
		l.must(l.ask("apply/"+org, nil))
	}
}

// offline checks the directory as stele check does, and looks for what was erased
// in the bytes of every file.
func (l *life) offline() {
	l.t.Helper()
	log, err := OpenLog(l.t.Context(), l.dir, time.Now, slog.New(slog.DiscardHandler))
	l.must(err)
	l.must(log.Store.Check(l.t.Context(), func(p error) { l.t.Errorf("check: %v", p) }))
	for org := range l.orgs {
		_, err := log.Ledger.Check(l.t.Context(), org, func(p ledger.Problem) { l.t.Errorf("check of %s: %d..%d %s", org, p.From, p.To, p.What) })
		l.must(err)
	}
	l.must(log.Close())
	l.must(filepath.WalkDir(l.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		for _, o := range l.orgs {
			for name := range o.gone {
				if strings.Contains(string(text), name) {
					l.t.Errorf("%s was erased and is in %s", name, filepath.Base(path))
				}
			}
		}
		return err
	}))
}

func (l *life) entries(org string, q audit.Query) []audit.Entry {
	l.t.Helper()
	page, err := l.client.Search(l.t.Context(), org, q, audit.SearchOptions{Limit: audit.MaxQueryLimit})
	l.must(err)
	if page.HasMore {
		l.t.Fatal("the log has become too long for this test")
	}
	return page.Entries
}

// verify looks at an organization's log from outside.
func (l *life) verify(org string) {
	l.t.Helper()
	ctx, o := l.t.Context(), l.orgs[org]
	var problems []string
	l.must(l.ask("check/"+org, &problems))
	for _, p := range problems {
		l.t.Errorf("check of %s: %s", org, p)
	}
	key, err := l.client.VerifierKey(ctx)
	l.must(err)
	v, err := audit.NewVerifier(strings.TrimSpace(key))
	l.must(err)
	entries := l.entries(org, audit.Query{})
	shown := map[string]bool{}
	for i := range entries {
		e := &entries[i]
		shown[e.ID] = true
		if o.gone[e.Actor.Name] {
			l.t.Errorf("entry %d of %s has its name still", e.Seq, org)
		}
		if i%3 != l.rnd.IntN(3) {
			continue // one in three: most of the time is spent here
		}
		proof, err := l.client.Proof(ctx, org, e.ID)
		if err == nil {
			_, err = proof.Verify(v)
		}
		if err != nil {
			l.t.Errorf("proof of entry %d of %s: %v", e.Seq, org, err)
		}
	}
	for hold, held := range o.held {
		for id := range held {
			if !shown[id] {
				l.t.Errorf("%s of %s is held by %s and not there", id, org, hold)
			}
		}
	}
	signed, err := l.client.Checkpoint(ctx, org)
	l.must(err)
	newest, err := v.Open(signed)
	l.must(err)
	for _, old := range o.checkpoints {
		was, err := v.Open(old)
		l.must(err)
		hashes, err := l.client.Consistency(ctx, org, was.Size, newest.Size)
		l.must(err)
		l.must(tlog.CheckTree(hashes, int64(newest.Size), newest.Root, int64(was.Size), was.Root))
	}
	if o.checkpoints = append(o.checkpoints, signed); len(o.checkpoints) > 12 {
		i := l.rnd.IntN(12)
		o.checkpoints = slices.Delete(o.checkpoints, i, i+1)
	}
}
