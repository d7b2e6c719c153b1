// Package audit is the vocabulary of Stele: events and entries, queries over
// them, the limits both keep, and the offline verification of what a server
// says. It is also the Go client of a Stele server.
//
// An [Event] is what a product says happened. Recorded, it is an [Entry]: the
// event with its place in the append-only log of one organization. The log is a
// C2SP tlog-tiles log (https://c2sp.org/tlog-tiles), so an entry's place can be
// proved against a signed checkpoint without trusting, or reaching, the server.
//
// What there is:
//
//   - [Query]: which entries are meant. [ParseQuery] reads the filter language,
//     [QueryFromValues] the parameters of a URL, and [Query.Match] defines what is
//     found.
//   - [Proof], [Checkpoint] and [VerifyLog]: whether an entry, or a whole log, is
//     as it was recorded. Nothing of it needs the server but for reading.
//   - [Client]: record, search, tail, export, administer.
//
// The package imports the standard library and golang.org/x/mod/sumdb only, so
// that a product which sends events takes on nothing else.
package audit
