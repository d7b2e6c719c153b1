package audit_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/audit"
)

// wantCheck fails unless the error is of a check and says something.
func wantCheck(t *testing.T, name string, err error, check audit.Check, says string) {
	t.Helper()
	v, ok := errors.AsType[*audit.VerifyError](err)
	if !ok || v.Check != check || !strings.Contains(v.Message, says) {
		t.Errorf("%s: error %v, want %s: …%s…", name, err, check, says)
	}
}

func TestProof(t *testing.T) {
	log := newTestLog(t, 300)
	for _, vkey := range []string{log.serverKey, log.logKey, log.serverKey + "\n"} {
		v, err := audit.NewVerifier(vkey)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []struct{ seq, size int }{{0, 1}, {0, 300}, {299, 300}, {255, 256}, {7, 9}} {
			data, err := json.Marshal(log.proof(t, at.seq, at.size))
			if err != nil {
				t.Fatal(err)
			}
			p, err := audit.ParseProof(data)
			if err != nil {
				t.Fatal(err)
			}
			c, err := p.Verify(v)
			if err != nil {
				t.Errorf("entry %d of %d: %v", at.seq, at.size, err)
			}
			want := audit.Checkpoint{Origin: logOrigin, Size: uint64(at.size), Root: log.root(t, at.size)}
			if diff := cmp.Diff(want, c); diff != "" {
				t.Error(diff)
			}
		}
	}
}

// TestProofAltered alters a proof in each of its parts: each has its own error.
func TestProofAltered(t *testing.T) {
	log := newTestLog(t, 9)
	other := newTestLog(t, 9)
	other.records[3][20] ^= 1
	replace := func(old, with string) func(*audit.Proof) {
		return func(p *audit.Proof) { p.Proof = strings.Replace(p.Proof, old, with, 1) }
	}
	signed := func(c audit.Checkpoint) func(*audit.Proof) {
		return func(p *audit.Proof) {
			head, _, _ := strings.Cut(p.Proof, "\n\n")
			p.Proof = head + "\n\n" + string(log.sign(t, c.String()))
		}
	}
	root := log.root(t, 9)
	for _, tt := range []struct {
		name  string
		alter func(*audit.Proof)
		check audit.Check
		says  string
	}{
		{"action", func(p *audit.Proof) { p.Entry.Action = "user.deleted" }, audit.CheckRecord, "action of the entry"},
		{"version", func(p *audit.Proof) { p.Entry.Version = 3 }, audit.CheckRecord, "version of the entry"},
		{"occurred", func(p *audit.Proof) { p.Entry.OccurredAt = p.Entry.OccurredAt.Add(1) }, audit.CheckRecord, "occurred_at of"},
		{"actor id", func(p *audit.Proof) { p.Entry.Actor.ID = "x" }, audit.CheckRecord, "actor of"},
		{"target dropped", func(p *audit.Proof) { p.Entry.Targets = p.Entry.Targets[:1] }, audit.CheckRecord, "targets of"},
		{"target type", func(p *audit.Proof) { p.Entry.Targets[1].Type = "x" }, audit.CheckRecord, "targets of"},
		{"actor name", func(p *audit.Proof) { p.Entry.Actor.Name = "Eve" }, audit.CheckDetails, "are not what was recorded"},
		{"actor name removed", func(p *audit.Proof) { p.Entry.Actor.Name = "" }, audit.CheckDetails, "are not what was recorded"},
		{"target metadata", func(p *audit.Proof) { p.Entry.Targets[1].Metadata = nil }, audit.CheckDetails, "are not what was recorded"},
		{"location", func(p *audit.Proof) { p.Entry.Context.Location = "10.0.0.1" }, audit.CheckDetails, "are not what was recorded"},
		{"metadata", func(p *audit.Proof) { p.Entry.Metadata = audit.Metadata{"team": "x"} }, audit.CheckDetails, "are not what was recorded"},
		{"salt", func(p *audit.Proof) { p.Salt = bytes.Repeat([]byte{9}, 16) }, audit.CheckDetails, "are not what was recorded"},
		{"salt cut", func(p *audit.Proof) { p.Salt = p.Salt[1:] }, audit.CheckDetails, "the salt has 15 bytes"},
		{"seq", func(p *audit.Proof) { p.Entry.Seq++ }, audit.CheckPlace, "has seq 4, the proof is of entry 3"},
		{"seq and index", func(p *audit.Proof) { p.Entry.Seq++; replace("index 3", "index 4")(p) }, audit.CheckPlace, "is not of an entry with seq 4"},
		{"id", func(p *audit.Proof) { p.Entry.ID = log.entries[4].ID }, audit.CheckPlace, "is not of an entry with seq 3"},
		{"id's check", func(p *audit.Proof) { p.Entry.ID = p.Entry.ID[:25] + "0" }, audit.CheckRecord, "id of the entry"},
		{"no id", func(p *audit.Proof) { p.Entry.ID = p.Entry.ID[:25] + "u" }, audit.CheckPlace, "is not the id of an entry"},
		{"received", func(p *audit.Proof) { p.Entry.ReceivedAt = p.Entry.ReceivedAt.Add(1e6) }, audit.CheckPlace, "received at"},
		{"organization", func(p *audit.Proof) { p.Entry.OrganizationID = "org_2" }, audit.CheckOrigin, `the entry is of organization "org_2"`},
		{"time that no log holds", func(p *audit.Proof) { p.Entry.OccurredAt = p.Entry.OccurredAt.AddDate(-900, 0, 0) }, audit.CheckRecord, "not one that a log can hold"},
		{"record of another", func(p *audit.Proof) { p.Record = string(log.records[4]) }, audit.CheckRecord, "id of the entry"},
		{"record spaced", func(p *audit.Proof) { p.Record = strings.Replace(p.Record, ":", ": ", 1) }, audit.CheckRecord, "not written as canonical JSON"},
		{"record more", func(p *audit.Proof) { p.Record = strings.Replace(p.Record, "{", `{"a":1,`, 1) }, audit.CheckRecord, `"a" of the entry`},
		{"record twice", func(p *audit.Proof) { p.Record = strings.Replace(p.Record, "{", `{"action":"x",`, 1) }, audit.CheckRecord, "there twice"},
		{"record cut", func(p *audit.Proof) { p.Record = p.Record[1:] }, audit.CheckRecord, "cannot be read"},
		{"entry and record", func(p *audit.Proof) {
			p.Entry.Action = "user.deleted"
			p.Record = strings.Replace(p.Record, "api_key.created", "user.deleted", 1)
		}, audit.CheckInclusion, "the record is not entry 3 of the log"},
		{"hash", func(p *audit.Proof) { replace("\nindex 3\n", "\nindex 3\n"+tlog.Hash{}.String()+"\n")(p) }, audit.CheckInclusion, "is not entry 3 of the log"},
		{"of a larger log", signed(audit.Checkpoint{Origin: logOrigin, Size: 20, Root: root}), audit.CheckInclusion, "is not entry 3 of the log"},
		{"of a smaller log", signed(audit.Checkpoint{Origin: logOrigin, Size: 3, Root: root}), audit.CheckInclusion, "entry 3 is not in a log of 3 entries"},
		{"of another root", signed(audit.Checkpoint{Origin: logOrigin, Size: 9, Root: other.root(t, 8)}), audit.CheckInclusion, "do not lead to the checkpoint's root"},
		{"another log's", signed(audit.Checkpoint{Origin: serverName + "/org_2", Size: 9, Root: root}), audit.CheckOrigin, `the checkpoint of "audit.example.com/org_2"`},
		{"another server's", signed(audit.Checkpoint{Origin: "evil.example.com/org_1", Size: 9, Root: root}), audit.CheckOrigin, "for which the key that signed it is not good"},
		{"size altered", replace("\n9\n", "\n8\n"), audit.CheckSignature, "was altered, or another key signed it"},
		{"unsigned", func(p *audit.Proof) {
			p.Proof = strings.ReplaceAll(p.Proof, "\n— audit.example.com ", "\n— unknown.example.com ")
		}, audit.CheckSignature, "not signed by a key that was given"},
		{"no note", func(p *audit.Proof) { p.Proof = strings.ReplaceAll(p.Proof, "— ", "") }, audit.CheckFormat, "not a signed note"},
		{"no proof", func(p *audit.Proof) { p.Proof = "" }, audit.CheckFormat, "does not begin with"},
		{"no index", replace("index 3\n", ""), audit.CheckFormat, "has no index"},
		{"index 03", replace("index 3\n", "index 03\n"), audit.CheckFormat, "has no index"},
		{"bad hash", replace("=\n", "\n"), audit.CheckFormat, "is not a hash"},
		{"bad extra", replace("index 3\n", "extra ?\nindex 3\n"), audit.CheckFormat, "are not base64"},
		{"too many hashes", replace("\nindex 3\n", "\nindex 3\n"+strings.Repeat(tlog.Hash{}.String()+"\n", 64)), audit.CheckFormat, "more than 63"},
	} {
		p := log.proof(t, 3, 9)
		p.Entry.Targets = append([]audit.Target(nil), p.Entry.Targets...)
		tt.alter(p)
		_, err := p.Verify(log.verifier(t))
		wantCheck(t, tt.name, err, tt.check, tt.says)
	}
}

// erased is a proof once the details of its entry were erased.
func erased(p *audit.Proof) *audit.Proof {
	e := &p.Entry
	e.Actor.Name, e.Actor.Metadata, e.Context, e.Metadata = "", nil, audit.Context{}, nil
	e.Targets = append([]audit.Target(nil), e.Targets...)
	for i := range e.Targets {
		e.Targets[i].Name, e.Targets[i].Metadata = "", nil
	}
	e.ErasedAt = e.ReceivedAt.AddDate(1, 0, 0)
	p.Salt = nil
	return p
}

// TestProofErased: of an erased entry the record and its place are checked, and
// that nothing is claimed of its details.
func TestProofErased(t *testing.T) {
	log := newTestLog(t, 9)
	v := log.verifier(t)
	data, err := json.Marshal(erased(log.proof(t, 3, 9)))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), "salt") {
		t.Errorf("%s", data)
	}
	for _, text := range []string{string(data), strings.Replace(string(data), `,"proof"`, `,"salt":null,"proof"`, 1)} {
		p, err := audit.ParseProof([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if c, err := p.Verify(v); err != nil || c.Size != 9 || p.Entry.ErasedAt.IsZero() {
			t.Errorf("%+v, error %v", c, err)
		}
		if _, err := p.Entry.Record([audit.SaltBytes]byte{}); err == nil {
			t.Error("the record of an erased entry was made of it")
		}
	}
	digest := regexp.MustCompile(`"details":"[^"]*"`)
	for _, tt := range []struct {
		name  string
		alter func(*audit.Proof)
		check audit.Check
		says  string
	}{
		{"a salt", func(p *audit.Proof) { p.Salt = make([]byte, 16) }, audit.CheckDetails, "the proof has their salt"},
		{"a name", func(p *audit.Proof) { p.Entry.Actor.Name = "Ada" }, audit.CheckDetails, "has a name, metadata or context"},
		{"a target's metadata", func(p *audit.Proof) { p.Entry.Targets[0].Metadata = audit.Metadata{"a": 1} }, audit.CheckDetails, "has a name"},
		{"metadata", func(p *audit.Proof) { p.Entry.Metadata = audit.Metadata{"a": 1} }, audit.CheckDetails, "has a name"},
		{"metadata that JSON has not", func(p *audit.Proof) { p.Entry.Metadata = audit.Metadata{"a": func() {}} }, audit.CheckDetails, "has a name"},
		{"context", func(p *audit.Proof) { p.Entry.Context.Location = "x" }, audit.CheckDetails, "has a name"},
		{"not said", func(p *audit.Proof) { p.Entry.ErasedAt = time.Time{} }, audit.CheckDetails, "the salt has 0 bytes"},
		{"not said, a salt", func(p *audit.Proof) { p.Entry.ErasedAt = time.Time{}; p.Salt = make([]byte, 16) }, audit.CheckDetails, "are not what was recorded"},
		{"actor", func(p *audit.Proof) { p.Entry.Actor.ID = "x" }, audit.CheckRecord, "actor of"},
		{"occurred", func(p *audit.Proof) { p.Entry.OccurredAt = p.Entry.OccurredAt.AddDate(-900, 0, 0) }, audit.CheckRecord, "not one that a log can hold"},
		{"record cut", func(p *audit.Proof) { p.Record = p.Record[1:] }, audit.CheckRecord, "cannot be read"},
		{"record spaced", func(p *audit.Proof) { p.Record = strings.Replace(p.Record, ":", ": ", 1) }, audit.CheckRecord, "not written as canonical JSON"},
		{"no digest", func(p *audit.Proof) { p.Record = digest.ReplaceAllString(p.Record, `"details":"x"`) }, audit.CheckRecord, "not the digest"},
		{"another digest", func(p *audit.Proof) {
			p.Record = digest.ReplaceAllString(p.Record, `"details":"`+strings.Repeat("A", 43)+`"`)
		}, audit.CheckInclusion, "is not entry 3 of the log"},
	} {
		p := erased(log.proof(t, 3, 9))
		tt.alter(p)
		_, err := p.Verify(v)
		wantCheck(t, tt.name, err, tt.check, tt.says)
	}
}

// TestProofKeys: another key does not do, several keys do.
func TestProofKeys(t *testing.T) {
	log := newTestLog(t, 3)
	_, stranger, err := note.GenerateKey(rand.Reader, serverName)
	if err != nil {
		t.Fatal(err)
	}
	_, err = audit.OpenCheckpoint(log.checkpoint(t, 3), stranger)
	wantCheck(t, "a stranger's key", err, audit.CheckSignature, "not signed by a key that was given")
	for _, vkeys := range [][]string{{}, {"nonsense"}, {log.serverKey, "x+1+y"}} {
		if _, err := audit.NewVerifier(vkeys...); err == nil {
			t.Errorf("%q makes a verifier", vkeys)
		}
	}
	v, err := audit.NewVerifier(log.serverKey, log.logKey, log.serverKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.proof(t, 1, 3).Verify(v); err != nil {
		t.Error(err)
	}
	if c, err := audit.OpenCheckpoint(log.checkpoint(t, 3), log.logKey); err != nil || c.OrganizationID() != "org_1" {
		t.Errorf("%+v, error %v", c, err)
	}
}

// TestParseProof: JSON that another program could read otherwise is refused.
func TestParseProof(t *testing.T) {
	log := newTestLog(t, 3)
	data, err := json.Marshal(log.proof(t, 1, 3))
	if err != nil {
		t.Fatal(err)
	}
	good := string(data)
	if _, err := audit.ParseProof([]byte(" " + good + "\n")); err != nil {
		t.Error(err)
	}
	for name, bad := range map[string]string{
		"twice":           strings.Replace(good, `"action":`, `"action":"x","action":`, 1),
		"other case":      strings.Replace(good, `"action":`, `"Action":`, 1),
		"both cases":      strings.Replace(good, `"action":`, `"Action":"x","action":`, 1),
		"escaped twice":   strings.Replace(good, `"action":`, `"\u0061ction":"x","action":`, 1),
		"unknown":         strings.Replace(good, `{"entry":`, `{"x":1,"entry":`, 1),
		"unknown inside":  strings.Replace(good, `"version":`, `"x":1,"version":`, 1),
		"case outside":    strings.Replace(good, `"record":`, `"Record":`, 1),
		"number":          strings.Replace(good, `"count":42`, `"count":42.00000000000000000001`, 1),
		"another zone":    strings.Replace(good, "2026-03-01T09:30:00.123Z", "2026-03-01T10:30:00.123+01:00", 1),
		"truncated":       good[:len(good)-1],
		"more":            good + "{}",
		"array":           "[]",
		"null":            "null",
		"not UTF-8":       strings.Replace(good, "Ada", "\xff", 1),
		"seq as text":     strings.Replace(good, `"seq":1`, `"seq":"1"`, 1),
		"no entry":        `{"record":"","salt":"","proof":""}`,
		"deep":            strings.Repeat("[", 100000),
		"deeply closed":   strings.Repeat("[", 100) + strings.Repeat("]", 100),
		"null inside":     strings.Replace(good, `"version":2`, `"version":2,"schema":null`, 1),
		"erased finer":    strings.Replace(good, `"version":2`, `"version":2,"erased_at":"2026-03-01T09:30:00.1234Z"`, 1),
		"salt not base64": strings.Replace(good, `"salt":"`, `"salt":"?`, 1),
	} {
		if bad == good {
			t.Fatalf("%s: nothing was replaced", name)
		}
		_, err := audit.ParseProof([]byte(bad))
		wantCheck(t, name, err, audit.CheckFormat, "")
	}
}

// TestInclusionProofText is the example of the specification: extra data, hashes,
// a checkpoint with several signatures.
func TestInclusionProofText(t *testing.T) {
	const text = `c2sp.org/tlog-proof@v1
extra YWdl
index 73894
gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=

example.com/fancylog
109482
sFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=

— example.com/fancylog hI2DJw1roloI=
`
	p, err := audit.ParseInclusionProof(text)
	if err != nil {
		t.Fatal(err)
	}
	if p.Index != 73894 || len(p.Hashes) != 2 || string(p.Extra) != "age" || !bytes.HasPrefix(p.Checkpoint, []byte("example.com/fancylog\n109482\n")) {
		t.Errorf("read as %+v", p)
	}
	if diff := cmp.Diff(text, p.String()); diff != "" {
		t.Error(diff)
	}
}

func TestParseCheckpoint(t *testing.T) {
	const hash = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
	c, err := audit.ParseCheckpoint("example.com/behind-the-sofa\n20852163\n" + hash + "\nextension\n")
	if err != nil || c.Origin != "example.com/behind-the-sofa" || c.Size != 20852163 || c.Root.String() != hash {
		t.Errorf("%+v, error %v", c, err)
	}
	for _, text := range []string{
		"", "a\n1\n" + hash, "a\n1\n", "\n1\n" + hash + "\n", "a\n01\n" + hash + "\n", "a\n-1\n" + hash + "\n", "a\n+1\n" + hash + "\n",
		"a\n9223372036854775808\n" + hash + "\n", "a\n1\n" + hash[1:] + "\n", "a\n1\n" + hash + "\n\n", "a\n1\n" + hash + "\n\nb\n",
		"a\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2J=\n", // bits that mean nothing
	} {
		if c, err := audit.ParseCheckpoint(text); err == nil {
			t.Errorf("%q is read as %+v", text, c)
		}
	}
}

func FuzzParseProof(f *testing.F) {
	log := newTestLog(f, 3)
	good, err := json.Marshal(log.proof(f, 1, 3))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"entry":{"targets":[{}],"metadata":{"a":[1,{}]}},"record":"{}","salt":"","proof":"c2sp.org/tlog-proof@v1\nindex 1\n\n"}`))
	v := log.verifier(f)
	root := log.root(f, 3)
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := audit.ParseProof(data)
		if err != nil {
			return
		}
		c, err := p.Verify(v)
		if err != nil {
			return
		}
		// Only what is in the log verifies.
		if c.Root != root || p.Record != string(log.records[p.Entry.Seq]) {
			t.Fatalf("verified %s", data)
		}
	})
}

func FuzzParseInclusionProof(f *testing.F) {
	log := newTestLog(f, 5)
	f.Add(log.proof(f, 4, 5).Proof)
	f.Add("c2sp.org/tlog-proof@v1\nextra \nindex 0\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := audit.ParseInclusionProof(text)
		if err != nil {
			return
		}
		if p.String() != text {
			t.Fatalf("%q is written as %q", text, p)
		}
		_ = p.Check(audit.Checkpoint{Size: 7}, tlog.Hash{})
	})
}

func FuzzParseCheckpoint(f *testing.F) {
	f.Add(audit.Checkpoint{Origin: "a/b", Size: 7}.String())
	f.Add("a\n0\n" + emptyRoot().String() + "\nmore\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := audit.ParseCheckpoint(text)
		if err != nil {
			return
		}
		if !strings.HasPrefix(text, c.String()) {
			t.Fatalf("%q is written as %q", text, c)
		}
	})
}
