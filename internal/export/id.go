package export

import "strings"

// Ids are ULIDs, as catalog.NewULID makes them.
const (
	idLength = 26
	alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ" // Crockford base 32
)

// isID reports whether s has the form of an id.
func isID(s string) bool {
	if len(s) != idLength || s[0] > '7' {
		return false
	}
	for _, c := range []byte(s) {
		if strings.IndexByte(alphabet, c) < 0 {
			return false
		}
	}
	return true
}

// invert maps an id to a text that sorts the other way round: the newest first.
func invert(id string) string {
	b := []byte(id)
	for i, c := range b {
		b[i] = alphabet[len(alphabet)-1-strings.IndexByte(alphabet, c)]
	}
	return string(b)
}
