package audit

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Policy says which witnesses there are and which of them together suffice (C2SP
// tlog-policy).
type Policy struct {
	// Logs are the verifier keys of logs that the policy is about; empty for
	// any log.
	Logs []string
	// Witnesses are the witnesses, in the order of the file.
	Witnesses []Witness

	groups []policyGroup
	quorum string
}

// Witness is one witness of a policy.
type Witness struct {
	// Name is the policy's name for it.
	Name string
	// Key is its verifier key.
	Key string
	// URL is its submission prefix (C2SP tlog-witness); it may be empty.
	URL string

	key *cosigner
}

// policyGroup counts as having witnessed when so many of its members have.
type policyGroup struct {
	name    string
	need    int
	members []string
}

// maxPolicyLines bounds what is read.
const maxPolicyLines = 1000

// quorumNone is the quorum that needs nobody.
const quorumNone = "none"

// ParsePolicy reads a policy: lines "log VKEY [URL]", "witness NAME VKEY [URL]",
// "group NAME all|any|K MEMBER…" and one "quorum NAME". Errors name the line.
func ParsePolicy(text string) (*Policy, error) {
	p := &Policy{}
	lines := strings.Split(text, "\n")
	if len(lines) > maxPolicyLines {
		return nil, fmt.Errorf("a policy has at most %d lines", maxPolicyLines)
	}
	for i, line := range lines {
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return nil, fmt.Errorf("line %d: has a control character", i+1)
		}
		fields := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if err := p.line(fields); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	if p.quorum == "" {
		return nil, errors.New("there is no quorum line")
	}
	return p, nil
}

func (p *Policy) line(fields []string) error {
	switch word, args := fields[0], fields[1:]; {
	case word == "log" && (len(args) == 1 || len(args) == 2):
		if _, err := NewVerifier(args[0]); err != nil {
			return err
		}
		if slices.Contains(p.Logs, args[0]) {
			return errors.New("the log is there twice")
		}
		p.Logs = append(p.Logs, args[0])
		return nil
	case word == "witness" && (len(args) == 2 || len(args) == 3):
		return p.addWitness(args)
	case word == "group" && len(args) >= 3:
		return p.addGroup(args)
	case word == "quorum" && len(args) == 1:
		if p.quorum != "" {
			return errors.New("there is a second quorum line")
		}
		if args[0] != quorumNone && !p.defined(args[0]) {
			return fmt.Errorf("%q is not defined above", args[0])
		}
		p.quorum = args[0]
		return nil
	}
	return fmt.Errorf("must be log, witness, group or quorum with what belongs to it, not %q", shorten(strings.Join(fields, " ")))
}

func (p *Policy) addWitness(args []string) error {
	key, err := newCosigner(args[1])
	if err != nil {
		return fmt.Errorf("%q %w", shorten(args[1]), err)
	}
	for i := range p.Witnesses {
		if p.Witnesses[i].key.key.Equal(key.key) {
			return errors.New("a witness with this key is there already")
		}
	}
	if err := p.define(args[0]); err != nil {
		return err
	}
	w := Witness{Name: args[0], Key: args[1], key: key}
	if len(args) == 3 {
		w.URL = args[2]
	}
	p.Witnesses = append(p.Witnesses, w)
	return nil
}

func (p *Policy) addGroup(args []string) error {
	g := policyGroup{name: args[0], members: args[2:]}
	switch args[1] {
	case "all":
		g.need = len(g.members)
	case "any":
		g.need = 1
	default:
		n, err := strconv.Atoi(args[1])
		if err != nil || n < 1 || n > len(g.members) || strconv.Itoa(n) != args[1] {
			return fmt.Errorf("must be all, any, or a number from 1 to %d, not %q", len(g.members), shorten(args[1]))
		}
		g.need = n
	}
	for _, m := range g.members {
		if !p.defined(m) {
			return fmt.Errorf("%q is not defined above", m)
		}
		for _, other := range append(p.groups, g) {
			if n := count(other.members, m); n > 1 || n == 1 && other.name != g.name {
				return fmt.Errorf("%q is a member twice", m)
			}
		}
	}
	if err := p.define(g.name); err != nil {
		return err
	}
	p.groups = append(p.groups, g)
	return nil
}

func count(list []string, want string) int {
	n := 0
	for _, v := range list {
		if v == want {
			n++
		}
	}
	return n
}

// define says whether a name is free.
func (p *Policy) define(name string) error {
	if name == quorumNone || p.defined(name) {
		return fmt.Errorf("the name %q is taken", name)
	}
	return nil
}

func (p *Policy) defined(name string) bool {
	return slices.ContainsFunc(p.Witnesses, func(w Witness) bool { return w.Name == name }) ||
		slices.ContainsFunc(p.groups, func(g policyGroup) bool { return g.name == name })
}

// Satisfied reports whether those who cosigned are a quorum.
func (p *Policy) Satisfied(list []Cosignature) bool {
	if p.quorum == quorumNone {
		return true
	}
	seen := map[string]bool{}
	for _, c := range list {
		seen[c.Witness] = true
	}
	for _, g := range p.groups { // members are defined before their group
		n := 0
		for _, m := range g.members {
			if seen[m] {
				n++
			}
		}
		seen[g.name] = n >= g.need
	}
	return seen[p.quorum]
}
