package words

// Tone says how loud a mark is. It is never all that a mark says: each has text
// and an icon.
type Tone string

// The tones, from loud to quiet.
const (
	ToneDanger Tone = "danger"
	ToneWarn   Tone = "warn"
	ToneNote   Tone = "note"
)

// Mark is what makes an entry easy to spot in a list.
type Mark struct {
	// Name is what the mark is, such as "denied".
	Name string
	// Text is what people read.
	Text string
	// Icon is the name of its icon.
	Icon string
	Tone Tone
}
