package block

import (
	"encoding/binary"
	"slices"
)

// PartsOf returns the columns that each part has something of.
func PartsOf(h *Header) map[int][]string {
	names := map[column]string{
		colAction: "action.codes", colActionText: "action.text", colActor: "actor.codes", colActorID: "actor.id",
		colTarget: "target.codes", colTargetID: "target.id", colTargetEnd: "target.end",
		colLocation: "location.codes", colLocationText: "location.text", colAgent: "agent.codes",
		colMetadata: "metadata", colPath: "path", colShape: "shape",
	}
	parts := map[int][]string{}
	for i := range h.table {
		for k := range h.table[i].chunks() {
			p := h.place(column(i), k).part
			parts[p] = append(parts[p], "every")
			if name := names[column(i)]; name != "" {
				parts[p] = append(parts[p], name)
			}
		}
	}
	return parts
}

// ColumnSizes returns the bytes of each column, by name.
func ColumnSizes(h *Header) (names []string, sizes []int) {
	for i := range h.table {
		n := 0
		for k := range h.table[i].chunks() {
			n += h.place(column(i), k).size
		}
		names, sizes = append(names, column(i).name()), append(sizes, n)
	}
	return names, sizes
}

// Loose parses a header and makes it take the given parts whatever their sums
// are, so that tests get past the checksums. Parts must have their sizes.
func Loose(parts [][]byte) (*Header, error) {
	for i := range parts {
		body := parts[i][:len(parts[i])-4]
		parts[i] = seal(slices.Clip(body))
	}
	h, err := ParseHeader(parts[HeaderPart])
	if err != nil {
		return nil, err
	}
	for i := range h.parts {
		if i+FilterPart < len(parts) {
			b := parts[i+FilterPart]
			h.parts[i].sum = binary.LittleEndian.Uint32(b[len(b)-4:])
		}
	}
	return h, nil
}
