package block

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
		for _, c := range h.table[i].chunks {
			p := int(c.part)
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
		for _, c := range h.table[i].chunks {
			n += int(c.size)
		}
		names, sizes = append(names, column(i).name()), append(sizes, n)
	}
	return names, sizes
}
