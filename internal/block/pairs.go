package block

// pairs says which two bytes are next to each other in texts, after ASCII letters
// were put in lower case: a bit for each pair's hash. Words have few pairs, so
// that a search for another word need not look at them.
type pairs [pairBits / 8]byte

const (
	pairBits = 1024
	// Columns with fewer bytes than pairsMin are searched at once, and more than
	// pairsMost pairs rule nothing out: these are stored as an empty text.
	pairsMin  = 8 << 10
	pairsMost = pairBits * 5 / 8
)

// pairColumns are the columns whose pairs are stored, in this order. Part of the
// format.
var pairColumns = [...]column{colActorName, colActorMetadata, colTargetName, colTargetMetadata} //nolint:gochecknoglobals // a table

func pairHash(a, b byte) uint32 {
	return (uint32(a)<<8 | uint32(b)) * 0x9e3779b1 >> (32 - 10)
}

// pairBuilder gathers the pairs of texts.
type pairBuilder struct {
	there [pairBits]bool
	size  int
}

func (p *pairBuilder) add(text []byte) {
	p.size += len(text)
	var last byte
	for i, c := range text {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if i > 0 {
			p.there[pairHash(last, c)] = true
		}
		last = c
	}
}

// text returns the pairs as they are stored: nothing when they would be of no use.
func (p *pairBuilder) text() []byte {
	var set pairs
	n := 0
	for i, there := range p.there {
		if there {
			set[i>>3] |= 1 << (i & 7)
			n++
		}
	}
	if p.size < pairsMin || n > pairsMost {
		return nil
	}
	return set[:]
}

// pairsMayContain reports whether a text with the stored pairs may contain lower.
// It is for texts that are all ASCII. Texts that are JSON have what they mean
// escaped, so pairs with what may be escaped do not count.
func pairsMayContain(stored, lower []byte, json bool) bool {
	if len(stored) != pairBits/8 {
		return true
	}
	for i := 1; i < len(lower); i++ {
		a, b := lower[i-1], lower[i]
		if json && (escapable(a) || escapable(b)) {
			continue
		}
		if h := pairHash(a, b); stored[h>>3]>>(h&7)&1 == 0 {
			return false
		}
	}
	return true
}

// escapable reports whether canonical JSON escapes a byte of a string.
func escapable(c byte) bool { return c < ' ' || c == '"' || c == '\\' }

// pairsRuleOut reports whether the pairs of a column say that none of its texts
// contains the needle.
func (r *Reader) pairsRuleOut(col column, lower []byte, json bool) (bool, error) {
	for i, of := range pairColumns {
		if of != col || len(lower) < 2 || r.h.table[col].letters.has(otherBytes) {
			continue
		}
		stored, err := r.text(colPairs, i)
		return err == nil && !pairsMayContain(stored, lower, json), err
	}
	return false, nil
}

// addPairs puts the pairs of the columns, which are all in the table, in order.
func (w *writer) addPairs() {
	w.pairs = w.pairs[:0]
	for _, col := range pairColumns {
		c := &w.cols[col]
		var b pairBuilder
		for i := range c.n {
			b.add(c.text(i))
		}
		w.pairs = append(w.pairs, b.text())
	}
}
