package audit_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/stelehq/stele/audit"
)

// cosigner is the key of a witness.
type cosigner struct {
	name string
	key  ed25519.PrivateKey
}

func newCosigner(name string) cosigner {
	seed := sha256.Sum256([]byte(name))
	return cosigner{name, ed25519.NewKeyFromSeed(seed[:])}
}

func (c cosigner) id() (data, id []byte) {
	data = append([]byte{4}, c.key.Public().(ed25519.PublicKey)...)
	sum := sha256.Sum256(append([]byte(c.name+"\n"), data...))
	return data, sum[:4]
}

func (c cosigner) vkey() string {
	data, id := c.id()
	return fmt.Sprintf("%s+%x+%s", c.name, id, base64.StdEncoding.EncodeToString(data))
}

// line is a cosignature of a checkpoint's text.
func (c cosigner) line(text string, at uint64) string {
	_, id := c.id()
	sig := binary.BigEndian.AppendUint64(id, at)
	sig = append(sig, ed25519.Sign(c.key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, text))...)
	return fmt.Sprintf("— %s %s\n", c.name, base64.StdEncoding.EncodeToString(sig))
}

// policyOf is a policy of witnesses X1 to X3 and Y1, in two levels.
func policyOf(t *testing.T) (*audit.Policy, map[string]cosigner) {
	t.Helper()
	all := map[string]cosigner{}
	text := "# who watches\n\n"
	for _, name := range []string{"X1", "X2", "X3", "Y1"} {
		all[name] = newCosigner("witness.example/" + name)
		text += "witness\t" + name + " " + all[name].vkey() + "  https://" + name + ".example\n"
	}
	p, err := audit.ParsePolicy(text + "group X 2 X1 X2 X3\n group both all X Y1 \nquorum both\n")
	if err != nil {
		t.Fatal(err)
	}
	return p, all
}

// TestPolicy holds that cosignatures are checked, and that groups count.
func TestPolicy(t *testing.T) {
	t.Parallel()
	p, all := policyOf(t)
	if len(p.Witnesses) != 4 || p.Witnesses[3].URL != "https://Y1.example" {
		t.Errorf("%+v", p.Witnesses)
	}
	skey, _, err := note.GenerateKey(nil, "log.example/acme")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	text := audit.Checkpoint{Origin: "log.example/acme", Size: 7}.String()
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		t.Fatal(err)
	}
	for names, enough := range map[string]bool{"": false, "X1 X2": false, "X1 Y1": false, "X1 X3 Y1": true, "X1 X2 X3 Y1": true} {
		lines := string(signed) + newCosigner("stranger").line(text, 5)
		for name := range strings.FieldsSeq(names) {
			lines += all[name].line(text, 1_790_000_000)
		}
		list, err := p.Cosignatures([]byte(lines))
		if err != nil || len(list) != len(strings.Fields(names)) || p.Satisfied(list) != enough {
			t.Errorf("%q: %v %v, quorum %t", names, list, err, p.Satisfied(list))
		}
		for _, c := range list {
			if c.At.Unix() != 1_790_000_000 || c.Key != "witness.example/"+c.Witness {
				t.Errorf("%+v", c)
			}
		}
	}
	forged := string(signed) + all["X1"].line(strings.Replace(text, "7", "8", 1), 1_790_000_000)
	if list, err := p.Cosignatures([]byte(forged)); err == nil || len(list) > 0 {
		t.Errorf("a cosignature of another checkpoint: %v %v", list, err)
	}
	if list, err := p.Cosignatures([]byte(string(signed) + all["X1"].line(text, 0))); err == nil || len(list) > 0 {
		t.Errorf("a cosignature without a time: %v %v", list, err)
	}
	if _, err := p.Cosignatures([]byte("nothing")); err == nil {
		t.Error("no note is taken for one")
	}
}

// TestPolicyRefuses holds that what is not a policy is refused, by line.
func TestPolicyRefuses(t *testing.T) {
	t.Parallel()
	a, b := newCosigner("a").vkey(), newCosigner("b").vkey()
	_, logKey, err := note.GenerateKey(nil, "log.example")
	if err != nil {
		t.Fatal(err)
	}
	w := "witness a " + a + "\nwitness b " + b + "\n"
	for text, want := range map[string]string{
		w:                           "no quorum",
		w + "quorum c\n":            "line 3",
		w + "quorum a\nquorum b\n":  "second quorum",
		w + "witness c " + a + "\n": "this key",
		w + "witness a " + newCosigner("c").vkey():       "taken",
		"witness none " + a:                              "taken",
		"witness l " + logKey:                            "not the verifier key of a witness",
		"log " + a:                                       "not a verifier key",
		"log " + logKey + "\nlog " + logKey:              "twice",
		"witness a " + strings.Replace(a, "a+", "b+", 1): "not the verifier key of a witness",
		w + "group g 3 a b\nquorum g\n":                  "from 1 to 2",
		w + "group g 01 a b\nquorum g\n":                 "from 1 to 2",
		w + "group g all a a\nquorum g\n":                "member twice",
		w + "group g any a\ngroup h any a\nquorum g\n":   "member twice",
		w + "group g any h\ngroup h any a\nquorum g\n":   "not defined",
		w + "group g any\nquorum g\n":                    "must be log, witness",
		w + "quorum\x01 a\n":                             "control character",
		"hello\n":                                        "must be log, witness",
		strings.Repeat("\n", 2000) + "quorum none":       "at most",
	} {
		if p, err := audit.ParsePolicy(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v; want %q", text, p, err, want)
		}
	}
	if p, err := audit.ParsePolicy("log " + logKey + "\nquorum none"); err != nil || !p.Satisfied(nil) {
		t.Errorf("%v", err)
	}
}

// FuzzPolicy holds that no text makes a policy that a log would wait for in vain
// or that reads otherwise the second time.
func FuzzPolicy(f *testing.F) {
	a := newCosigner("a").vkey()
	f.Add("witness a " + a + " https://w\ngroup g any a\nquorum g\n")
	f.Add("quorum none")
	f.Add("group g 1 g\nquorum g")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := audit.ParsePolicy(text)
		if err != nil {
			return
		}
		var list []audit.Cosignature
		for _, w := range p.Witnesses {
			list = append(list, audit.Cosignature{Witness: w.Name})
		}
		if !p.Satisfied(list) {
			t.Errorf("%q: all witnesses are no quorum", text)
		}
	})
}
