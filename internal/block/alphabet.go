package block

import "encoding/binary"

// alphabet says which bytes texts have, after ASCII letters were put in lower
// case: one bit for each byte below 0x80. Upper case letters being out of it, the
// bit of 'A' says that there are other bytes.
type alphabet [2]uint64

const otherBytes = 'A'

// letters gathers the bytes of texts for an alphabet.
type letters [256]bool

func (l *letters) add(text []byte) {
	for _, c := range text {
		l[c] = true
	}
}

func (l *letters) alphabet() (a alphabet) {
	for i, there := range l {
		c := byte(i)
		switch {
		case !there:
			continue
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case c >= 0x80:
			c = otherBytes
		}
		a[c>>6] |= 1 << (c & 63)
	}
	return a
}

func (a *alphabet) has(c byte) bool { return a[c>>6&1]>>(c&63)&1 != 0 }

// mayContain reports whether a text of the alphabet may contain lower, ignoring
// case. Texts that are JSON have what they mean escaped, so what may be escaped
// does not count.
func (a *alphabet) mayContain(lower []byte, json bool) bool {
	if a.has(otherBytes) {
		return true // some letters have lower case in ASCII
	}
	for _, c := range lower {
		switch {
		case c >= 0x80:
			return false
		case json && escapable(c):
		case !a.has(c):
			return false
		}
	}
	return true
}

// alphabetBytes is the size of an alphabet as it is stored.
const alphabetBytes = 16

func (a *alphabet) append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, a[0])
	return binary.LittleEndian.AppendUint64(dst, a[1])
}

// readAlphabet reads alphabetBytes bytes.
func readAlphabet(b []byte) alphabet {
	return alphabet{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
}
