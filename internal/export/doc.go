// Package export writes the entries that a search finds to files: as CSV for
// spreadsheets, as JSONL for programs.
//
// A job is a small record in the catalog store. It is frozen when it is made:
// it covers the entries that the log held then, and none recorded later, so
// every run of a job writes the same file. A bounded number of workers run
// jobs; each streams the entries from the search engine into a file beside the
// final one, so memory does not grow with the export. The file is synced,
// renamed and only then is the job ready: a file that can be downloaded is
// whole, and a job that could not be finished says why.
//
// A job that a stopped server left pending or running starts from the beginning
// on the next start, without help; half files are removed.
//
// # CSV
//
// The form is RFC 4180 in UTF-8 without a byte order mark: lines end in CRLF,
// cells with a comma, a quote, CR or LF are quoted, quotes inside are doubled.
// The columns are
//
//	id, seq, action, version, occurred_at, received_at,
//	actor_id, actor_type, actor_name, actor_metadata,
//	target_id_N, target_type_N, target_name_N, target_metadata_N  (for N from 1),
//	context_location, context_user_agent, metadata, erased_at
//
// with as many groups of target columns as the entry with the most targets
// needs, and one at least. Metadata cells are JSON. An absent value is an empty
// cell. Readers go by the column's name.
//
// # Formulas
//
// A spreadsheet runs a cell that begins with one of = + - @ (or their
// full-width forms), TAB, CR or LF as a formula, some after leading spaces, and
// what is in an audit log was often typed by a stranger. A cell that begins so,
// whatever apostrophes and spaces stand before, gets an apostrophe in front. So
// the exact value is had back: of a cell that begins with an apostrophe and
// would have been given one without it, take it off. A job may turn this off.
//
// # Evidence
//
// docs/verification.md specifies the zip. Its range is read once, in order; JSONL,
// CSV and the tree are made of the same frames, compressed in pieces beside the
// zip and then put into it. Of a filter that finds few entries only these are read,
// if retention hides nothing of the range; the hashes of what lies between them
// come from the ledger. What was written is folded into a root: when it is not the
// one that was signed, or what was counted is not what was read, the log changed
// meanwhile (retention, an erasure), and the export begins again a few times.
package export
