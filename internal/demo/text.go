package demo

import (
	_ "embed"
	"strings"
)

// The texts the world is made of. They are data, so that a reader can judge and
// change them without reading code.
var (
	//go:embed people.txt
	peopleText string
	//go:embed people-second.txt
	peopleSecondText string
	//go:embed kinds.txt
	kindsText string
	//go:embed words.txt
	wordsText string
	//go:embed catalogue.json
	catalogueJSON []byte
)

// block is a part of a text that a [name] begins: its lines without comments.
type block struct {
	name  string
	lines []string
}

// blocks cuts a text at its [names].
func blocks(text string) []block {
	var out []block
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "# "):
		case strings.HasPrefix(line, "["):
			out = append(out, block{name: strings.Trim(line, "[]")})
		default:
			last := &out[len(out)-1]
			last.lines = append(last.lines, line)
		}
	}
	return out
}

// words is the lists of words.txt: rows of fields.
type words map[string][][]string

func readWords(text string) words {
	w := words{}
	for _, b := range blocks(text) {
		for _, line := range b.lines {
			w[b.name] = append(w[b.name], fields(line, "|"))
		}
	}
	return w
}

// fields cuts a line and trims the parts.
func fields(line, sep string) []string {
	parts := strings.Split(line, sep)
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

// kind is a type of thing that people configure.
type kind struct {
	name   string
	action string // the part of the action before the dot
	by     []string
	weight int
	names  []string
	fresh  []string // names of what is added during the year
	attrs  []attr
	// shared kinds have no owning team; fixed ones are neither created nor
	// deleted; lasting ones are not deleted; with byDefault one of them can
	// be made the default.
	shared, fixed, lasting, byDefault bool
}

// attr is a setting with the values it takes.
type attr struct {
	key    string
	values []string
}

func readKinds(text string) []*kind {
	var out []*kind
	for _, b := range blocks(text) {
		k := &kind{name: b.name, action: b.name, weight: 1}
		for _, line := range b.lines {
			key, val, _ := strings.Cut(line, ":")
			k.set(key, strings.TrimSpace(val))
		}
		out = append(out, k)
	}
	return out
}

func (k *kind) set(key, val string) {
	switch key {
	case "action":
		k.action = val
	case "by":
		k.by = strings.Fields(val)
	case "weight":
		k.weight = atoi(val)
	case "names":
		k.names = fields(val, ",")
	case "new":
		k.fresh = fields(val, ",")
	case "shared":
		k.shared = true
	case "fixed":
		k.fixed = true
	case "undeletable":
		k.lasting = true
	case "default":
		k.byDefault = true
	default:
		k.attrs = append(k.attrs, attr{key: key, values: fields(val, ",")})
	}
}

func atoi(s string) int {
	n := 0
	for _, c := range s {
		n = n*10 + int(c-'0')
	}
	return n
}
