package event

import "slices"

// member is one member of a metadata object that is being rewritten.
type member struct {
	name       []byte // decoded
	start, end int    // of its canonical text, key and value, in Decoder.buf
}

// beginObject starts an object at the end of buf and returns what endObject
// needs.
func (d *Decoder) beginObject() (base int) {
	d.buf = append(d.buf, '{')
	return len(d.members)
}

// addMember records the member whose text is in buf from start to its end, and
// puts a comma after it.
func (d *Decoder) addMember(name []byte, start int) {
	d.members = append(d.members, member{name: name, start: start, end: len(d.buf)})
	d.buf = append(d.buf, ',')
}

// endObject sorts the members added since beginObject and closes the object. It
// reports false when two have the same name.
func (d *Decoder) endObject(base int) bool {
	ms := d.members[base:]
	if len(ms) == 0 {
		d.buf = append(d.buf, '}')
		return true
	}
	unique := ascending(ms)
	if !unique {
		slices.SortFunc(ms, func(a, b member) int { return compareUTF16(a.name, b.name) })
		unique = ascending(ms)
		d.reorder(ms)
	}
	clear(ms) // names point into the caller's data
	d.members = d.members[:base]
	d.buf[len(d.buf)-1] = '}'
	return unique
}

// ascending tells whether members are in order, none twice.
func ascending(ms []member) bool {
	for i := 1; i < len(ms); i++ {
		if compareUTF16(ms[i-1].name, ms[i].name) >= 0 {
			return false
		}
	}
	return true
}

// reorder writes the texts of all members, which end with buf, in the order of
// ms.
func (d *Decoder) reorder(ms []member) {
	start := len(d.buf)
	d.sorted = d.sorted[:0]
	for _, m := range ms {
		start = min(start, m.start)
		d.sorted = append(d.sorted, d.buf[m.start:m.end+1]...) // with its comma
	}
	copy(d.buf[start:], d.sorted)
}
