package block

import "iter"

// column is one column of a block. The numbers are part of the format.
type column uint16

// The columns, in the order of the header's table. What is counted is said in
// [columnInfo].
const (
	colOccurred column = iota
	colReceived
	colTargetEnd
	colAction
	colShape
	colActionText
	colActionVersion
	colActionFlags
	colPath
	colShapePaths

	colActor
	colActorTypeText
	colActorType
	colActorID
	colActorEnd
	colActorName
	colActorMetadata

	colTarget
	colTargetTypeText
	colTargetType
	colTargetID
	colTargetProfileEnd
	colTargetName
	colTargetMetadata

	colLocation
	colAgent
	colLocationText
	colAgentText

	colMetadata
	colPairs
	// From here on: the dictionary of each path that has one.
	colPathTexts
)

// kind is how the chunks of a column are encoded.
type kind uint8

const (
	kindInts   kind = iota // integers
	kindSums               // integers that do not decrease, as differences
	kindEnds               // the same, of where things end: the first begins where the chunk says
	kindTimes              // integers, as zigzag differences
	kindTexts              // texts
	kindSorted             // texts in order
	kindMeta               // values of metadata
)

// counted is what a column has one value for each of.
type counted uint8

const (
	perRow counted = iota
	perSlot
	perAction
	perActorType
	perActorID
	perActor
	perTargetType
	perTargetID
	perTarget
	perLocation
	perAgent
	perShape
	perPath
	perPairs
	numCounted
)

// group is which columns lie together: what one question needs is in few parts,
// and what it does not need is in others.
type group uint8

// The groups, in the order they are stored in.
const (
	groupSmall group = iota // small dictionaries, which nearly every question needs
	groupRows
	groupActor
	groupActorID
	groupActorDisplay
	groupTarget
	groupTargetID
	groupTargetDisplay
	groupContext
	groupLocation
	groupMetadata
	numGroups
)

// columnInfo says what is in a column.
type columnInfo struct {
	kind  kind
	per   counted
	group group
	// alphabet has the header say which bytes the texts have.
	alphabet bool
}

// pathTexts is how many texts colPath has for a path.
const pathTexts = 4

// columns is the table of the columns but for the dictionaries of paths.
var columns = [colPathTexts]columnInfo{ //nolint:gochecknoglobals // a table
	colOccurred:      {kind: kindTimes, per: perRow, group: groupRows},
	colReceived:      {kind: kindSums, per: perRow, group: groupRows},
	colTargetEnd:     {kind: kindEnds, per: perRow, group: groupRows},
	colAction:        {kind: kindInts, per: perRow, group: groupRows},
	colShape:         {kind: kindInts, per: perRow, group: groupRows},
	colActionText:    {kind: kindSorted, per: perAction, group: groupSmall, alphabet: true},
	colActionVersion: {kind: kindInts, per: perAction, group: groupSmall},
	colActionFlags:   {kind: kindInts, per: perAction, group: groupSmall},
	colPath:          {kind: kindTexts, per: perPath, group: groupSmall},
	colShapePaths:    {kind: kindTexts, per: perShape, group: groupSmall},

	colActor:         {kind: kindInts, per: perRow, group: groupActor},
	colActorTypeText: {kind: kindSorted, per: perActorType, group: groupSmall},
	colActorType:     {kind: kindInts, per: perActorID, group: groupSmall},
	colActorID:       {kind: kindSorted, per: perActorID, group: groupActorID, alphabet: true},
	colActorEnd:      {kind: kindEnds, per: perActorID, group: groupSmall},
	colActorName:     {kind: kindTexts, per: perActor, group: groupActorDisplay, alphabet: true},
	colActorMetadata: {kind: kindTexts, per: perActor, group: groupActorDisplay, alphabet: true},

	colTarget:           {kind: kindInts, per: perSlot, group: groupTarget},
	colTargetTypeText:   {kind: kindSorted, per: perTargetType, group: groupSmall},
	colTargetType:       {kind: kindInts, per: perTargetID, group: groupSmall},
	colTargetID:         {kind: kindSorted, per: perTargetID, group: groupTargetID, alphabet: true},
	colTargetProfileEnd: {kind: kindEnds, per: perTargetID, group: groupSmall},
	colTargetName:       {kind: kindTexts, per: perTarget, group: groupTargetDisplay, alphabet: true},
	colTargetMetadata:   {kind: kindTexts, per: perTarget, group: groupTargetDisplay, alphabet: true},

	colLocation:     {kind: kindInts, per: perRow, group: groupContext},
	colAgent:        {kind: kindInts, per: perRow, group: groupContext},
	colLocationText: {kind: kindSorted, per: perLocation, group: groupLocation, alphabet: true},
	colAgentText:    {kind: kindSorted, per: perAgent, group: groupSmall, alphabet: true},

	colMetadata: {kind: kindMeta, per: perRow, group: groupMetadata},
	colPairs:    {kind: kindTexts, per: perPairs, group: groupSmall},
}

// name is what errors call a column.
func (c column) name() string {
	names := [...]string{
		"occurred_at", "received_at", "ends of targets", "action codes", "shapes", "actions", "versions of actions",
		"flags of actions", "paths", "paths of shapes",
		"actor codes", "actor types", "types of actors", "actor ids", "ends of actors", "actor names", "actor metadata",
		"target codes", "target types", "types of targets", "target ids", "ends of target profiles", "target names", "target metadata",
		"location codes", "user agent codes", "locations", "user agents", "metadata", "pairs",
	}
	if int(c) < len(names) {
		return names[c]
	}
	return "metadata values"
}

// How a path's values are stored. Part of the format.
const (
	pathShared = 0 // as they are, together with those of other paths
	pathOwn    = 1 // as they are, in a frame of their own
	pathRaw    = 2 // like pathOwn; the value is a whole object
	pathDict   = 2 // plus the number of different values
)

// maxPaths is the number of paths that are told apart in a block; objects with
// others are kept whole.
const maxPaths = 250

// Chunks: powers of two of values.
const (
	maxShift      = 14
	codesShift    = 10
	minCodesShift = 6 // so that a chunk of them begins a word of a set
	timesShift    = 9
	maxMetaShift  = 10
	minTextShift  = 4
	maxTextShift  = 10
	maxSortShift  = 8
	chunkBytes    = 3 << 10 // of text, about
	sortedBytes   = 6 << 10 // the same of sorted texts, which are mostly ids
)

// Parts.
const (
	partBytes    = 16 << 10 // a part ends before it would be larger
	minPartBytes = 6 << 10  // from this size on it ends at a group's end
	maxParts     = 1<<16 - 2
	partOverhead = 1 + 4 // version and checksum
	// maxColumnBytes bounds all parts together: their texts and, of codes,
	// times and frames, far more than there can be of a block.
	maxColumnBytes = 8 * maxChunkBytes
)

// chunkRef names a chunk.
type chunkRef struct{ col, chunk int }

// layout yields the chunks of a block in the order they are stored in: group by
// group, of a group the columns in the table's order; but neighbours that have as
// many values and as long chunks in turn, one chunk of each.
func layout(cols []shape) iter.Seq[chunkRef] {
	return func(yield func(chunkRef) bool) {
		var columns [8]int
		same := columns[:0] // columns that are to be stored in turn
		for g := range numGroups {
			flush := func() bool {
				if len(same) == 0 {
					return true
				}
				for chunk := range cols[same[0]].chunks() {
					for _, col := range same {
						if !yield(chunkRef{col, chunk}) {
							return false
						}
					}
				}
				same = same[:0]
				return true
			}
			for i, c := range cols {
				if c.group != g {
					continue
				}
				if len(same) > 0 && cols[same[0]] != c && !flush() {
					return
				}
				same = append(same, i)
			}
			if !flush() {
				return
			}
		}
	}
}

// shape is what decides where a column's chunks lie.
type shape struct {
	n     int // values
	shift uint8
	group group
}

func (s shape) chunks() int { return (s.n + 1<<s.shift - 1) >> s.shift }
