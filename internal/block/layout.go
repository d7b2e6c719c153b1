package block

import "iter"

// column is one column of a block. The numbers are part of the format.
type column uint8

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
	numCounted
)

// columnInfo says what is in a column.
type columnInfo struct {
	kind kind
	per  counted
	// group: columns of a group that have chunks of the same length lie side by
	// side, the first chunk of each, then the second; a part rather ends between
	// groups.
	group int
	// alphabet has the header say which bytes the texts have.
	alphabet bool
}

// pathTexts is how many texts colPath has for a path.
const pathTexts = 4

// columns is the table of the columns but for the dictionaries of paths.
var columns = [colPathTexts]columnInfo{ //nolint:gochecknoglobals // a table
	colOccurred:      {kind: kindTimes, per: perRow, group: 0},
	colReceived:      {kind: kindSums, per: perRow, group: 0},
	colTargetEnd:     {kind: kindEnds, per: perRow, group: 0},
	colAction:        {kind: kindInts, per: perRow, group: 1},
	colShape:         {kind: kindInts, per: perRow, group: 1},
	colActionText:    {kind: kindSorted, per: perAction, group: 2, alphabet: true},
	colActionVersion: {kind: kindInts, per: perAction, group: 2},
	colActionFlags:   {kind: kindInts, per: perAction, group: 2},
	colPath:          {kind: kindTexts, per: perPath, group: 2},
	colShapePaths:    {kind: kindTexts, per: perShape, group: 2},

	colActor:         {kind: kindInts, per: perRow, group: 3},
	colActorTypeText: {kind: kindSorted, per: perActorType, group: 4},
	colActorType:     {kind: kindInts, per: perActorID, group: 5},
	colActorID:       {kind: kindSorted, per: perActorID, group: 6, alphabet: true},
	colActorEnd:      {kind: kindEnds, per: perActorID, group: 7},
	colActorName:     {kind: kindTexts, per: perActor, group: 8, alphabet: true},
	colActorMetadata: {kind: kindTexts, per: perActor, group: 8, alphabet: true},

	colTarget:           {kind: kindInts, per: perSlot, group: 9},
	colTargetTypeText:   {kind: kindSorted, per: perTargetType, group: 10},
	colTargetType:       {kind: kindInts, per: perTargetID, group: 11},
	colTargetID:         {kind: kindSorted, per: perTargetID, group: 12, alphabet: true},
	colTargetProfileEnd: {kind: kindEnds, per: perTargetID, group: 13},
	colTargetName:       {kind: kindTexts, per: perTarget, group: 14, alphabet: true},
	colTargetMetadata:   {kind: kindTexts, per: perTarget, group: 14, alphabet: true},

	colLocation:     {kind: kindInts, per: perRow, group: 15},
	colAgent:        {kind: kindInts, per: perRow, group: 15},
	colLocationText: {kind: kindSorted, per: perLocation, group: 16, alphabet: true},
	colAgentText:    {kind: kindSorted, per: perAgent, group: 17, alphabet: true},

	colMetadata: {kind: kindMeta, per: perRow, group: 18},
}

// name is what errors call a column.
func (c column) name() string {
	names := [...]string{
		"occurred_at", "received_at", "ends of targets", "action codes", "shapes", "actions", "versions of actions",
		"flags of actions", "paths", "paths of shapes",
		"actor codes", "actor types", "types of actors", "actor ids", "ends of actors", "actor names", "actor metadata",
		"target codes", "target types", "types of targets", "target ids", "ends of target profiles", "target names", "target metadata",
		"location codes", "user agent codes", "locations", "user agents", "metadata",
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
	timesShift    = 10
	maxMetaShift  = 10
	minTextShift  = 4
	maxTextShift  = 10
	chunkBytes    = 3 << 10 // of text, about
)

// Parts.
const (
	partBytes    = 16 << 10 // a part ends before it would be larger
	minPartBytes = 6 << 10  // from this size on it ends at a group's end
	maxParts     = 1<<16 - 2
)

// pathTextGroup is the group of the first dictionary of a path; each has its own.
const pathTextGroup = 19

// chunkRef names a chunk.
type chunkRef struct{ col, chunk int }

// layout yields the chunks of a block in the order they are stored in: columns as
// the table has them, but neighbours of one group that have as many values and as
// long chunks in turn, one chunk of each.
func layout(cols []shape) iter.Seq[chunkRef] {
	return func(yield func(chunkRef) bool) {
		for i := 0; i < len(cols); {
			j := i + 1
			for j < len(cols) && cols[j] == cols[i] {
				j++
			}
			for chunk := range cols[i].chunks() {
				for col := i; col < j; col++ {
					if !yield(chunkRef{col, chunk}) {
						return
					}
				}
			}
			i = j
		}
	}
}

// shape is what decides where a column's chunks lie.
type shape struct {
	n     int // values
	shift uint8
	group int
}

func (s shape) chunks() int { return (s.n + 1<<s.shift - 1) >> s.shift }
