package block

// Text adds to rows those in which free text is found, as audit.Query.Match has
// it: lower, which strings.ToLower has been through, is a part of the action, the
// actor's or a target's id or name, the location, the user agent, or a string,
// number or boolean in any metadata, after these were put in lower case. It is
// exact but for the entry's id, which a block does not have. within, when not
// nil, bounds the rows looked at.
//
// What is not fetched at all: columns whose texts do not have all the letters of
// the text, by the header or, for metadata, the block's plan, and names and
// metadata of actors and targets that do not have each two of them together.
func (r *Reader) Text(lower []byte, within, rows *Rows) error {
	n := newNeedle(lower)
	for _, fields := range [...][]Field{
		{FieldAction},
		{FieldActorID, FieldActorName, FieldActorMetadata},
		{FieldTargetID, FieldTargetName, FieldTargetMetadata},
		{FieldLocation},
		{FieldUserAgent},
	} {
		var codes Codes
		for _, f := range fields {
			if err := r.contains(f, n, &codes); err != nil {
				return err
			}
		}
		if err := r.Rows(&codes, within, rows); err != nil {
			return err
		}
	}
	return r.metadataText(n, within, rows)
}
