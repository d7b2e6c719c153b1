package block

import (
	"bytes"
	"sort"
	"strconv"
)

// Unregistered is the value of FieldUnregistered of events without a schema.
const Unregistered = "unregistered"

// fieldInfo says where the values of a field are.
type fieldInfo struct {
	about column // the codes of rows
	types column // of parties: where their columns begin
	texts column
	json  bool
}

// info returns where the values of a field are.
func (f Field) info() fieldInfo {
	switch f {
	case FieldAction, FieldVersion, FieldUnregistered:
		return fieldInfo{about: colAction, texts: colActionText}
	case FieldActorType, FieldActorID, FieldActorName, FieldActorMetadata:
		return fieldInfo{
			about: colActor, types: colActorTypeText,
			texts: colActorTypeText + f.ofParty(FieldActorType), json: f == FieldActorMetadata,
		}
	case FieldTargetType, FieldTargetID, FieldTargetName, FieldTargetMetadata:
		return fieldInfo{
			about: colTarget, types: colTargetTypeText,
			texts: colTargetTypeText + f.ofParty(FieldTargetType), json: f == FieldTargetMetadata,
		}
	case FieldLocation:
		return fieldInfo{about: colLocation, texts: colLocationText}
	default:
		return fieldInfo{about: colAgent, texts: colAgentText}
	}
}

// ofParty returns the column of a field of a party, after that of the types.
func (f Field) ofParty(first Field) column {
	return [...]column{0, ofID, ofName, ofMetadata}[f-first]
}

// entries returns how many dictionary entries there are that codes are of.
func (h *Header) entries(about column) int {
	switch about {
	case colAction:
		return h.counts[perAction]
	case colActor:
		return h.counts[perActor]
	case colTarget:
		return h.counts[perTarget]
	case colLocation:
		return h.counts[perLocation]
	default:
		return h.counts[perAgent]
	}
}

// ready makes codes a set of what about has codes of.
func (r *Reader) ready(codes *Codes, about column) {
	switch {
	case !codes.ready:
		codes.ready, codes.about = true, about
		codes.Reset(r.h.entries(about))
	case codes.about != about:
		panic("block: one Codes for fields about different things")
	}
}

// Equal adds to codes what has exactly the value in the field. Of actions, ids
// and locations it decodes one chunk.
func (r *Reader) Equal(f Field, value []byte, codes *Codes) error {
	switch f {
	case FieldAction, FieldActorID, FieldTargetID, FieldLocation, FieldUserAgent:
		return r.sorted(f, value, codes, func(col column) (int, error) { return r.bound(col, value, true) })
	default:
		return r.Select(f, func(v []byte) bool { return bytes.Equal(v, value) }, codes)
	}
}

// Prefix adds to codes what begins with the prefix in the field. Of actions, ids
// and locations it decodes two chunks at most.
func (r *Reader) Prefix(f Field, prefix []byte, codes *Codes) error {
	switch f {
	case FieldAction, FieldActorID, FieldTargetID, FieldLocation, FieldUserAgent:
		return r.sorted(f, prefix, codes, func(col column) (int, error) {
			after := successor(prefix)
			if after == nil {
				return r.h.table[col].n, nil
			}
			return r.bound(col, after, false)
		})
	default:
		return r.Select(f, func(v []byte) bool { return bytes.HasPrefix(v, prefix) }, codes)
	}
}

// successor returns the least text above all that begin with the prefix, nil when
// there is none.
func successor(prefix []byte) []byte {
	s := bytes.Clone(prefix)
	for i := len(s) - 1; i >= 0; i-- {
		if s[i]++; s[i] != 0 {
			return s[:i+1]
		}
	}
	return nil
}

// sorted adds a range of a sorted dictionary: from the first text that is not
// below from, to what end finds.
func (r *Reader) sorted(f Field, from []byte, codes *Codes, end func(column) (int, error)) error {
	info := f.info()
	r.ready(codes, info.about)
	if codes.Bound() == 0 {
		return nil
	}
	lo, err := r.bound(info.texts, from, false)
	if err != nil {
		return err
	}
	hi, err := end(info.texts)
	if err != nil || lo >= hi {
		return err
	}
	if info.types != 0 {
		if lo, hi, err = r.profiles(info.types, lo, hi); err != nil {
			return err
		}
	}
	codes.AddRange(lo, hi)
	return nil
}

// profiles returns the profiles of the identities lo ≤ i < hi.
func (r *Reader) profiles(types column, lo, hi int) (from, to int, err error) {
	if r.onePerIdent(types) || lo >= hi {
		return lo, hi, nil
	}
	if from, _, err = r.ends(types+ofEnd, lo); err != nil {
		return 0, 0, err
	}
	_, to, err = r.ends(types+ofEnd, hi-1)
	return from, to, err
}

// onePerIdent reports whether every identity has one profile, so that they have
// the same numbers.
func (r *Reader) onePerIdent(types column) bool {
	return r.h.table[types+ofID].n == r.h.table[types+ofName].n
}

// bound returns the number of texts of a sorted column that are below key or,
// when after, not above it.
func (r *Reader) bound(col column, key []byte, after bool) (int, error) {
	t := &r.h.table[col]
	k := sort.Search(t.chunks()-1, func(i int) bool {
		c := bytes.Compare(r.h.separator(t, i), key)
		return c > 0 || c == 0 && !after
	})
	c, err := r.chunk(col, k)
	if err != nil {
		return 0, err
	}
	return k<<t.shift + c.texts.search(key, after), nil
}

// Select adds to codes what has a value in the field for which match holds. An
// absent value is the empty text. match is called once for every different value
// or more often, and does not keep it.
func (r *Reader) Select(f Field, match func(value []byte) bool, codes *Codes) error {
	info := f.info()
	r.ready(codes, info.about)
	if codes.Bound() == 0 {
		return nil
	}
	switch f {
	case FieldVersion, FieldUnregistered:
		return r.selectAction(f, match, codes)
	case FieldActorType, FieldTargetType:
		return r.selectType(info, match, codes)
	}
	return r.eachTexts(info.texts, func(first int, t *textChunk) error {
		for i := range t.ends {
			if match(t.at(i)) {
				if err := r.add(info, first+i, codes); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// eachChunk calls fn with the chunks of a column and the number of the first
// value of each. It does not keep them, but they may be.
func (r *Reader) eachChunk(col column, fn func(first int, c *chunk) error) error {
	t := &r.h.table[col]
	for k := range t.chunks() {
		c, err := r.peek(col, k)
		if err != nil {
			return err
		}
		if err := fn(k<<t.shift, c); err != nil {
			return err
		}
	}
	return nil
}

// eachTexts calls fn with the chunks of a column of texts and the number of the
// first text of each. They are gone when it returns.
func (r *Reader) eachTexts(col column, fn func(first int, t *textChunk) error) error {
	t := &r.h.table[col]
	var own textChunk
	for k := range t.chunks() {
		texts := &own
		if c := r.chunks[col][k].Load(); c != nil {
			texts = &c.texts
		} else if err := r.readTexts(col, k, &own); err != nil {
			return err
		}
		if err := fn(k<<t.shift, texts); err != nil {
			return err
		}
	}
	return nil
}

// readTexts decodes a chunk of texts into t.
func (r *Reader) readTexts(col column, k int, t *textChunk) error {
	in, err := r.input(col, k)
	if err != nil {
		return err
	}
	info := &r.h.table[col]
	readTexts(in, t, min(info.n-k<<info.shift, 1<<info.shift), info.kind == kindSorted)
	return r.finish(in, col, k)
}

// add adds to codes what has the i-th of a field's texts.
func (r *Reader) add(info fieldInfo, i int, codes *Codes) error {
	if info.types == 0 || info.texts != info.types+ofID {
		codes.Add(i)
		return nil
	}
	lo, hi, err := r.profiles(info.types, i, i+1)
	codes.AddRange(lo, hi)
	return err
}

func (r *Reader) selectAction(f Field, match func([]byte) bool, codes *Codes) error {
	for i := range codes.Bound() {
		value, err := r.actionValue(f, i)
		if err != nil {
			return err
		}
		if match(value) {
			codes.Add(i)
		}
	}
	return nil
}

// actionValue returns the version or the registration of an action as text.
func (r *Reader) actionValue(f Field, i int) ([]byte, error) {
	if f == FieldVersion {
		version, err := r.code(colActionVersion, i)
		return strconv.AppendInt(nil, int64(version), 10), err
	}
	flags, err := r.code(colActionFlags, i)
	if flags&flagUnregistered == 0 {
		return nil, err
	}
	return []byte(Unregistered), err
}

func (r *Reader) selectType(info fieldInfo, match func([]byte) bool, codes *Codes) error {
	var wanted set
	wanted.Reset(r.h.table[info.types].n)
	err := r.eachTexts(info.types, func(first int, t *textChunk) error {
		for i := range t.ends {
			if match(t.at(i)) {
				wanted.Add(first + i)
			}
		}
		return nil
	})
	if err != nil || wanted.Empty() {
		return err
	}
	types, err := r.appendCodes(nil, info.types+ofType, 0, r.h.table[info.types+ofID].n)
	if err != nil {
		return err
	}
	for lo, typ := range types {
		if !wanted.Has(int(typ)) || lo > 0 && wanted.Has(int(types[lo-1])) {
			continue // not the first of a run
		}
		hi := lo + 1
		for hi < len(types) && wanted.Has(int(types[hi])) {
			hi++
		}
		from, to, err := r.profiles(info.types, lo, hi)
		if err != nil {
			return err
		}
		codes.AddRange(from, to)
	}
	return nil
}

// Contains adds to codes what has a value in the field that contains lower,
// ignoring case: both are compared after strings.ToLower, which lower has been
// through already. Of metadata that is a string, number or boolean anywhere in
// it. It is faster than Select. The fields are the action, ids, names, metadata,
// the location and the user agent.
func (r *Reader) Contains(f Field, lower []byte, codes *Codes) error {
	return r.contains(f, newNeedle(lower), codes)
}

func (r *Reader) contains(f Field, n *needle, codes *Codes) error {
	info := f.info()
	r.ready(codes, info.about)
	t := &r.h.table[info.texts]
	if f == FieldVersion || f == FieldUnregistered || !t.alphabet {
		return r.Select(f, n.in, codes)
	}
	if !t.letters.mayContain(n.lower, info.json) {
		return nil
	}
	if out, err := r.pairsRuleOut(info.texts, n.lower, info.json); out || err != nil {
		return err
	}
	return r.eachTexts(info.texts, func(first int, texts *textChunk) (err error) {
		texts.find(n, info.json, func(i int) {
			if err == nil {
				err = r.add(info, first+i, codes)
			}
		})
		return err
	})
}
