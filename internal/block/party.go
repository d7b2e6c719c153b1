package block

import (
	"bytes"
	"cmp"
	"hash/maphash"

	"github.com/stelehq/stele/internal/event"
)

// parties is the dictionary of the actors, or of the targets: of identities (type
// and id) and, apart from them, of profiles, which have a name and metadata too.
// Rows refer to profiles.
type parties struct {
	types texts

	identTable table
	idents     []ident

	table    // of profiles
	profiles []profile

	// What finish makes: ranks by number, and for each rank of an identity the
	// end of its profiles, which are sorted by identity.
	typeSort, identSort, profileSort sorter
	ends                             []uint32
}

// ident is a party's type and id.
type ident struct {
	typ uint32 // number in types
	id  span
}

// profile is where a party's four texts are in the arena, one after the other.
type profile struct {
	off                 uint32
	typ, id, name, meta uint32 // sizes
	ident               uint32 // number
}

func (d *parties) reset() {
	d.types.reset()
	d.identTable.reset()
	d.idents = d.idents[:0]
	d.table.reset()
	d.profiles = d.profiles[:0]
}

// add returns the number of a party's profile.
func (d *parties) add(e *Encoder, p *event.Party) uint16 {
	ident := mix(maphash.Bytes(e.seed, p.Type), maphash.Bytes(e.seed, p.ID))
	hash := mix(mix(ident, maphash.Bytes(e.seed, p.Name)), maphash.Bytes(e.seed, p.Metadata))
	for i := hash; ; {
		n, next := d.lookup(hash, i)
		if n < 0 {
			break
		}
		if d.profiles[n].equal(e.arena.b, p) {
			return uint16(n) //nolint:gosec // at most maxCodes
		}
		i = next
	}
	at := profile{
		typ: e.arena.put(p.Type).size, id: e.arena.put(p.ID).size,
		name: e.arena.put(p.Name).size, meta: e.arena.put(p.Metadata).size,
	}
	at.off = uint32(len(e.arena.b)) - at.typ - at.id - at.name - at.meta //nolint:gosec // bounded
	at.ident = d.addIdent(e, ident, at)
	d.profiles = append(d.profiles, at)
	return uint16(d.table.add(hash)) //nolint:gosec // at most maxCodes
}

func (p *profile) equal(arena []byte, party *event.Party) bool {
	if int(p.typ) != len(party.Type) || int(p.id) != len(party.ID) ||
		int(p.name) != len(party.Name) || int(p.meta) != len(party.Metadata) {
		return false
	}
	b := arena[p.off:]
	typ, b := b[:p.typ], b[p.typ:]
	id, b := b[:p.id], b[p.id:]
	name, b := b[:p.name], b[p.name:]
	return bytes.Equal(id, party.ID) && bytes.Equal(name, party.Name) &&
		bytes.Equal(b[:p.meta], party.Metadata) && bytes.Equal(typ, party.Type)
}

func (d *parties) addIdent(e *Encoder, hash uint64, p profile) uint32 {
	typ := uint32(d.types.add(e, e.arena.b[p.off:p.off+p.typ])) //nolint:gosec // small
	id := span{p.off + p.typ, p.id}
	for i := hash; ; {
		n, next := d.identTable.lookup(hash, i)
		if n < 0 {
			d.idents = append(d.idents, ident{typ, id})
			return uint32(d.identTable.add(hash)) //nolint:gosec // small
		}
		if d.idents[n].typ == typ && bytes.Equal(e.arena.at(d.idents[n].id), e.arena.at(id)) {
			return uint32(n) //nolint:gosec // small
		}
		i = next
	}
}

// finish sorts types by text, identities by id and type, and profiles by
// identity, name and metadata.
func (d *parties) finish(a *arena) {
	d.types.sort(a, &d.typeSort)
	d.identSort.sort(len(d.idents), func(i int) []byte { return a.at(d.idents[i].id) }, func(i, j int) int {
		return cmp.Compare(d.typeSort.rank[d.idents[i].typ], d.typeSort.rank[d.idents[j].typ])
	})
	d.sortProfiles(a)
	d.ends = d.ends[:0]
	end := 0
	for r := range d.idents {
		number := d.identSort.order[r]
		for end < len(d.profiles) && d.profiles[d.profileSort.order[end]].ident == number {
			end++
		}
		d.ends = append(d.ends, uint32(end))
	}
}

func (d *parties) sortProfiles(a *arena) {
	if len(d.profiles) == len(d.idents) { // numbered alike
		d.profileSort.order = append(d.profileSort.order[:0], d.identSort.order...)
		d.profileSort.rank = append(d.profileSort.rank[:0], d.identSort.rank...)
		return
	}
	d.profileSort.sortBy(len(d.profiles), func(i int) uint64 {
		return uint64(d.identSort.rank[d.profiles[i].ident]) << 16
	}, func(i, j int) int {
		p, q := &d.profiles[i], &d.profiles[j]
		return cmp.Or(bytes.Compare(a.at(p.nameSpan()), a.at(q.nameSpan())), bytes.Compare(a.at(p.metaSpan()), a.at(q.metaSpan())))
	})
}

func (p *profile) nameSpan() span { return span{p.off + p.typ + p.id, p.name} }
func (p *profile) metaSpan() span { return span{p.off + p.typ + p.id + p.name, p.meta} }
