package audit_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/audit"
)

// tampering is one way to alter an export of evidence.
type tampering struct {
	name  string
	alter func(t testing.TB, ev *evidence)
	check audit.Check // of the first problem
	says  string      // part of its sentence
	// also is part of the sentence of another problem, "" when it does not
	// matter.
	also string
}

const (
	unlisted = "it is not the file that was written"
	unsigned = "manifest.json: it is not the manifest that was signed"
	noRoot   = "proof/tree.jsonl: its records and hashes do not lead to the root that was signed"
)

// aRow is the row of "mixed" that is tampered with: the third, of entry 37, line 3
// of the JSONL and row 4 of the CSV; the row after is of entry 41.
const aRow = 2

// rowTamperings alter a row in every combination of files, with a manifest that is
// left alone and one that is made to fit.
func rowTamperings() []tampering {
	kinds := map[string]func(rows []*audit.Entry) []*audit.Entry{
		"edited": func(rows []*audit.Entry) []*audit.Entry {
			e := *rows[aRow]
			e.Actor.ID = "somebody else"
			rows[aRow] = &e
			return rows
		},
		"dropped":    func(rows []*audit.Entry) []*audit.Entry { return slices.Delete(rows, aRow, aRow+1) },
		"duplicated": func(rows []*audit.Entry) []*audit.Entry { return slices.Insert(rows, aRow, rows[aRow]) },
		"reordered": func(rows []*audit.Entry) []*audit.Entry {
			rows[aRow], rows[aRow+1] = rows[aRow+1], rows[aRow]
			return rows
		},
	}
	says := map[string][2]string{ // in the JSONL, in the CSV
		"edited":     {"line 3 (entry 37): actor is not what its record says", "row 4 (entry 37): actor_id is not what entries.jsonl says"},
		"dropped":    {"line 3 (entry 37): the row of entry 37 is missing: that of entry 41", "row 4 (entry 37): the row of entry 37 is missing: that of entry 41"},
		"duplicated": {"line 4 (entry 41): the row of entry 37 stands here again", "row 5 (entry 41): the row of entry 37 stands here again"},
		"reordered":  {"line 3 (entry 37): the row of entry 37 is missing: that of entry 41", "row 4 (entry 37): the row of entry 37 is missing: that of entry 41"},
	}
	var all []tampering
	for _, kind := range []string{"edited", "dropped", "duplicated", "reordered"} {
		for _, in := range []string{"jsonl", "csv", "both"} {
			for _, fitted := range []bool{false, true} {
				tt := tampering{name: fmt.Sprintf("row %s in %s, manifest fitted %v", kind, in, fitted), also: unlisted}
				file := 0
				if in == "csv" {
					file = 1
				}
				tt.says = []string{"entries.jsonl, ", "entries.csv, "}[file] + says[kind][file]
				if tt.check = audit.CheckPlace; kind == "edited" {
					tt.check = audit.CheckRecord
				}
				if fitted {
					tt.also = unsigned
				}
				tt.alter = func(t testing.TB, ev *evidence) {
					rows := kinds[kind](slices.Clone(ev.entries))
					if in != "csv" {
						ev.files["entries.jsonl"] = jsonlOf(t, rows)
					}
					if in != "jsonl" {
						ev.files["entries.csv"] = csvOf(t, rows, ev.manifest.CSV)
					}
					if fitted {
						ev.manifest.Rows = uint64(len(rows))
						ev.fit(t)
					}
				}
				all = append(all, tt)
			}
		}
	}
	return all
}

// fit makes the manifest list the files as they are; its note stays.
func (ev *evidence) fit(t testing.TB) {
	ev.list()
	ev.write(t)
}

// everywhere edits the rows in all files that have them.
func (ev *evidence) everywhere(t testing.TB, rows []*audit.Entry, tree func(lines []string) []string) {
	ev.rows(t, rows)
	ev.lines("proof/tree.jsonl", tree)
}

// lines edits the lines of a file.
func (ev *evidence) lines(name string, change func(lines []string) []string) {
	lines := slices.Collect(strings.Lines(string(ev.files[name])))
	ev.files[name] = []byte(strings.Join(change(lines), ""))
}

// swap replaces a text in a file, once.
func swap(name, old, with string) func(testing.TB, *evidence) {
	return func(t testing.TB, ev *evidence) {
		if !bytes.Contains(ev.files[name], []byte(old)) {
			t.Fatalf("%s does not hold %q", name, old)
		}
		ev.files[name] = bytes.Replace(ev.files[name], []byte(old), []byte(with), 1)
	}
}

// nodeOf is the line of the tampered row's entry in the tree.
func nodeOf(lines []string) int {
	return slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, `{"seq":37,`) })
}

// subtree is the line of a subtree that begins there.
func subtree(lines []string, first int) int {
	return slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, fmt.Sprintf(`{"first":%d,`, first)) })
}

// stranger signs with a key of the same name that is not the log's, everything.
func (ev *evidence) stranger(t testing.TB) {
	t.Helper()
	skey, vkey, err := note.GenerateKey(ones{}, logOrigin)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	log := *ev.log
	log.signers, log.logKey = []note.Signer{signer}, vkey
	ev.log = &log
	ev.manifest.Vkey = vkey
}

// ones is another source of keys.
type ones struct{}

func (ones) Read(b []byte) (int, error) {
	copy(b, bytes.Repeat([]byte{1}, len(b)))
	return len(b), nil
}

// treeTamperings alter the proof, alone or with everything else.
func treeTamperings() []tampering {
	const seq = 37
	edited := func(t testing.TB, ev *evidence) {
		rows := slices.Clone(ev.entries)
		e := *rows[aRow]
		e.Actor.ID = "somebody else"
		rows[aRow] = &e
		record, err := e.Record(ev.log.salts[seq])
		if err != nil {
			t.Fatal(err)
		}
		ev.everywhere(t, rows, func(lines []string) []string {
			line, err := audit.AppendEvidenceEntry(nil, seq, record, ev.log.salts[seq][:])
			if err != nil {
				t.Fatal(err)
			}
			lines[nodeOf(lines)] = string(line)
			return lines
		})
	}
	// hidden drops a row everywhere and says that the filter, or retention, did.
	hidden := func(why audit.Why) func(t testing.TB, ev *evidence) {
		return func(t testing.TB, ev *evidence) {
			ev.everywhere(t, slices.Delete(slices.Clone(ev.entries), aRow, aRow+1), func(lines []string) []string {
				lines[nodeOf(lines)] = string(audit.AppendEvidenceSubtree(nil, seq, 0, audit.LeafHash(ev.log.records[seq]), why))
				return lines
			})
		}
	}
	then := func(alter func(testing.TB, *evidence), next func(*evidence, testing.TB)) func(testing.TB, *evidence) {
		return func(t testing.TB, ev *evidence) { alter(t, ev); next(ev, t) }
	}
	inTree := func(change func(lines []string) []string) func(testing.TB, *evidence) {
		return func(_ testing.TB, ev *evidence) { ev.lines("proof/tree.jsonl", change) }
	}
	erased := func(t testing.TB, ev *evidence) { // of a row that was not
		rows := slices.Clone(ev.entries)
		e := *rows[aRow]
		e.Actor.Name, e.Actor.Metadata, e.Metadata, e.Context = "", nil, nil, audit.Context{}
		e.Targets = []audit.Target{{Type: e.Targets[0].Type, ID: e.Targets[0].ID}, {Type: e.Targets[1].Type, ID: e.Targets[1].ID}, {Type: "x", ID: "y,z"}}
		e.ErasedAt = time.UnixMilli(1_772_000_050_500)
		rows[aRow] = &e
		ev.everywhere(t, rows, func(lines []string) []string {
			lines[nodeOf(lines)], _, _ = strings.Cut(lines[nodeOf(lines)], `,"salt"`)
			lines[nodeOf(lines)] += "}\n"
			return lines
		})
	}
	return []tampering{
		{"edited everywhere", edited, audit.CheckTree, noRoot, unlisted},
		{"edited everywhere, manifest fitted", then(edited, (*evidence).fit), audit.CheckTree, noRoot, unsigned},
		{"signed by a stranger", func(t testing.TB, ev *evidence) {
			ev.stranger(t)
			*ev = *exported{log: ev.log, size: 100, from: 0, to: 50, older: 7}.make(t)
		}, audit.CheckSignature, "proof/checkpoint: the checkpoint is not signed by a key that was given", ""},
		{"hidden as filtered", hidden(audit.WhyFilter), audit.CheckManifest, "it says that there are 10 rows, and there are 9", "proof/tree.jsonl: " + unlisted},
		{"hidden as filtered, manifest fitted", then(hidden(audit.WhyFilter), (*evidence).fit), audit.CheckManifest, unsigned, ""},
		{"hidden as removed, manifest fitted", then(hidden(audit.WhyRemoved), (*evidence).fit), audit.CheckManifest, unsigned, ""},
		{"hidden as outside", hidden(audit.WhyOutside), audit.CheckTree, `entries 37 to 37 are left out as "outside", and the range is 21 to 69`, ""},
		{"erased marker faked", erased, audit.CheckManifest, "the details of 1 rows were erased, and of 2 they were", "proof/tree.jsonl: " + unlisted},
		{"erased marker faked, manifest fitted", then(erased, (*evidence).fit), audit.CheckManifest, unsigned, ""},
		{"erased marker faked, the salt left", then(erased, func(ev *evidence, t testing.TB) {
			ev.lines("proof/tree.jsonl", func(lines []string) []string {
				lines[nodeOf(lines)] = string(appendNode(t, nil, ev.log, seq))
				return lines
			})
		}), audit.CheckDetails, "entries.jsonl, line 3 (entry 37): it says that its details were erased, but", ""},
		{"erased marker faked, details left", func(t testing.TB, ev *evidence) {
			swap("entries.jsonl", `"erased_at"`, `"metadata":{"reason":"x"},"erased_at"`)(t, ev)
		}, audit.CheckDetails, "(entry 33): it says that its details were erased, but it has a name", ""},
		{"salt removed", func(t testing.TB, ev *evidence) {
			ev.lines("proof/tree.jsonl", func(lines []string) []string {
				lines[nodeOf(lines)], _, _ = strings.Cut(lines[nodeOf(lines)], `,"salt"`)
				lines[nodeOf(lines)] += "}\n"
				return lines
			})
		}, audit.CheckDetails, "(entry 37): it does not say that its details were erased", ""},
		{"salt of another", inTree(func(lines []string) []string {
			at := nodeOf(lines)
			lines[at] = lines[at][:len(lines[at])-27] + "AAAAAAAAAAAAAAAAAAAAAA==\"}\n"
			return lines
		}), audit.CheckDetails, "(entry 37): a name, metadata or the context is not what was recorded", ""},
		{"record edited in the tree alone", inTree(func(lines []string) []string {
			lines[nodeOf(lines)] = strings.Replace(lines[nodeOf(lines)], "user 37", "user 73", 1)
			return lines
		}), audit.CheckRecord, "entries.jsonl, line 3 (entry 37): actor is not what its record says", "proof/tree.jsonl: " + unlisted},
		{"record that is no JSON", inTree(func(lines []string) []string {
			lines[nodeOf(lines)] = `{"seq":37,"record":"{","salt":"AAAAAAAAAAAAAAAAAAAAAA=="}` + "\n"
			return lines
		}), audit.CheckRecord, "(entry 37): the record cannot be read", ""},
		{"record in another form", inTree(func(lines []string) []string {
			lines[nodeOf(lines)] = strings.Replace(lines[nodeOf(lines)], `:{\"id\"`, `: {\"id\"`, 1)
			return lines
		}), audit.CheckRecord, "(entry 37): the record is not written as canonical JSON", ""},
		{"line of the tree dropped", inTree(func(lines []string) []string {
			return slices.Delete(lines, nodeOf(lines), nodeOf(lines)+1)
		}), audit.CheckTree, "it begins at entry 38, and the line before ends before entry 37", ""},
		{"line of the tree twice", inTree(func(lines []string) []string {
			return slices.Insert(lines, nodeOf(lines), lines[nodeOf(lines)])
		}), audit.CheckTree, "it begins at entry 37, and the line before ends before entry 38", ""},
		{"end of the tree dropped", inTree(func(lines []string) []string { return lines[:len(lines)-1] }), audit.CheckTree, "it ends before entry 96, and the checkpoint is of 100", ""},
		{"more than the tree", inTree(func(lines []string) []string {
			return append(lines, string(audit.AppendEvidenceSubtree(nil, 100, 0, tlog.Hash{}, audit.WhyOutside)))
		}), audit.CheckTree, "it goes beyond the 100 entries", ""},
		{"subtrees swapped", inTree(func(lines []string) []string {
			a, b := subtree(lines, 34), subtree(lines, 38)
			hash := func(i int) string { _, rest, _ := strings.Cut(lines[i], `"hash":"`); return rest[:44] }
			x, y := hash(a), hash(b)
			lines[a], lines[b] = strings.Replace(lines[a], x, y, 1), strings.Replace(lines[b], y, x, 1)
			return lines
		}), audit.CheckTree, noRoot, ""},
		{"subtree moved", inTree(func(lines []string) []string {
			a, b := subtree(lines, 34), subtree(lines, 38)
			lines[a], lines[b] = lines[b], lines[a]
			return lines
		}), audit.CheckTree, "it begins at entry 38, and the line before ends before entry 34", ""},
		{"subtree not aligned", inTree(func(lines []string) []string {
			lines[subtree(lines, 21)] = strings.Replace(lines[subtree(lines, 21)], `"level":0`, `"level":1`, 1)
			return lines
		}), audit.CheckTree, "no subtree of 2 entries begins at entry 21", ""},
		{"filtered called removed", inTree(func(lines []string) []string {
			lines[subtree(lines, 34)] = strings.Replace(lines[subtree(lines, 34)], "filter", "removed", 1)
			return lines
		}), audit.CheckManifest, "proof/tree.jsonl: " + unlisted, ""},
		{"inside called outside", inTree(func(lines []string) []string {
			lines[subtree(lines, 34)] = strings.Replace(lines[subtree(lines, 34)], "filter", "outside", 1)
			return lines
		}), audit.CheckTree, `entries 34 to 35 are left out as "outside"`, ""},
		{"outside called filtered", inTree(func(lines []string) []string {
			lines[0] = strings.Replace(lines[0], "outside", "filter", 1)
			return lines
		}), audit.CheckTree, `entries 0 to 15 are left out as "filter"`, ""},
		{"unknown reason", inTree(func(lines []string) []string {
			lines[0] = strings.Replace(lines[0], "outside", "secret", 1)
			return lines
		}), audit.CheckFormat, "proof/tree.jsonl, line 1: it is not an entry or a subtree", ""},
	}
}

// fileTamperings alter files of which there is one way to be.
func fileTamperings() []tampering {
	relist := func(alter func(testing.TB, *evidence)) func(testing.TB, *evidence) {
		return func(t testing.TB, ev *evidence) { alter(t, ev); ev.fit(t) }
	}
	theirs := func(t testing.TB) *evidence {
		log := newTestLog(t, 0)
		for i := range 100 {
			e := entryAt(i)
			e.OrganizationID = "org_2"
			log.add(t, e)
		}
		return exported{log: log, size: 100, from: 21, to: 69, older: 47}.make(t)
	}
	part := func(name string) func(testing.TB, *evidence) {
		return func(t testing.TB, ev *evidence) { ev.files[name] = theirs(t).files[name] }
	}
	return []tampering{
		{"name in the JSONL", swap("entries.jsonl", "Ada Lovelace", "Eve"), audit.CheckDetails, "a name, metadata or the context is not what was recorded", "entries.jsonl: " + unlisted},
		{"name in the CSV", swap("entries.csv", "Ada Lovelace", "Eve"), audit.CheckRecord, "actor_name is not what entries.jsonl says", "entries.csv: " + unlisted},
		{"schema in the JSONL", swap("entries.jsonl", "}\n", `,"schema":"unregistered"}`+"\n"), audit.CheckManifest, "entries.jsonl: " + unlisted, ""},
		{"schema in the JSONL, fitted", relist(swap("entries.jsonl", "}\n", `,"schema":"unregistered"}`+"\n")), audit.CheckManifest, unsigned, ""},
		{"spaces in the JSONL", swap("entries.jsonl", `"seq":`, `"seq": `), audit.CheckFormat, "entries.jsonl, line 1 (entry 29): it is not an entry as a server writes it", ""},
		{"member twice in the JSONL", swap("entries.jsonl", `"action":`, `"action":"x","action":`), audit.CheckFormat, "line 1 (entry 29): it is not an entry", ""},
		{"unknown member in the JSONL", swap("entries.jsonl", `"action":`, `"comment":"x","action":`), audit.CheckFormat, "line 1 (entry 29): it is not an entry", ""},
		{"organization in the JSONL", swap("entries.jsonl", `"org_1"`, `"org_2"`), audit.CheckOrigin, `line 1 (entry 29): it is of organization "org_2"`, ""},
		{"id in the JSONL", swap("entries.jsonl", `{"id":"01`, `{"id":"02`), audit.CheckPlace, "line 1 (entry 29): the id is not that of an entry", ""},
		{"row more in the JSONL", func(_ testing.TB, ev *evidence) {
			ev.files["entries.jsonl"] = append(ev.files["entries.jsonl"], "{}\n"...)
		}, audit.CheckPlace, "entries.jsonl, line 11: there is a row more", ""},
		{"row more in the CSV", func(_ testing.TB, ev *evidence) {
			ev.files["entries.csv"] = append(ev.files["entries.csv"], "x\r\n"...)
		}, audit.CheckPlace, "entries.csv, row 12: there is a row more", ""},
		{"JSONL cut off", func(_ testing.TB, ev *evidence) {
			ev.files["entries.jsonl"] = ev.files["entries.jsonl"][:len(ev.files["entries.jsonl"])-9]
		}, audit.CheckFormat, "entries.jsonl, line 10: it is cut off", ""},
		{"JSONL empty", func(_ testing.TB, ev *evidence) { ev.files["entries.jsonl"] = nil }, audit.CheckPlace, "entries.jsonl (entry 29): it ends before the row of entry 29", ""},
		{"not UTF-8", swap("entries.jsonl", "Ada", "\xff"), audit.CheckFormat, "it is not valid UTF-8", ""},
		{"line too long", swap("entries.jsonl", "Ada", strings.Repeat("a", 1<<20)), audit.CheckFormat, "it has more than 1048576 bytes", ""},
		{"header of the CSV", swap("entries.csv", "actor_id", "actor_ID"), audit.CheckFormat, "entries.csv, row 1: the first row is not that of the columns", ""},
		{"CSV empty", func(_ testing.TB, ev *evidence) { ev.files["entries.csv"] = nil }, audit.CheckFormat, "entries.csv, row 1: the first row", ""},
		{"cell more in the CSV", swap("entries.csv", "\r\n01", "\r\n,01"), audit.CheckFormat, "entries.csv, row 2 (entry 29): it has", ""},
		{"guard taken off in the CSV", swap("entries.csv", ",'-1,", ",-1,"), audit.CheckRecord, "target_id_1 is not what entries.jsonl says", ""},
		{"erased marker taken off in the CSV", swap("entries.csv", "2026-02-25T06:14:10.500Z", ""), audit.CheckRecord, "erased_at is not what entries.jsonl says", ""},
		{"quotes in the CSV", swap("entries.csv", ",api_key.created,", `,"api_key.created",`), audit.CheckFormat, "row 2 (entry 29): it is not written as an export writes it", ""},
		{"open quote in the CSV", swap("entries.csv", ",api_key.created,", `,"api_key.created,`), audit.CheckFormat, "entries.csv, row 2", ""},

		{"another organization's rows", part("entries.jsonl"), audit.CheckPlace, "", ""},
		{"another organization's rows and proof", func(t testing.TB, ev *evidence) {
			for _, name := range []string{"entries.jsonl", "entries.csv", "proof/tree.jsonl"} {
				part(name)(t, ev)
			}
		}, audit.CheckFormat, "", ""},
		{"another organization's tree", part("proof/tree.jsonl"), audit.CheckPlace, "", "proof/tree.jsonl: " + unlisted},
		{"checkpoint of another log", func(t testing.TB, ev *evidence) {
			ev.files["proof/checkpoint"] = ev.log.sign(t, audit.Checkpoint{Origin: serverName + "/org_2", Size: 100, Root: ev.log.root(t, 100)}.String())
		}, audit.CheckOrigin, "proof/checkpoint: it is of the log", ""},
		{"checkpoint of another size", func(t testing.TB, ev *evidence) { ev.files["proof/checkpoint"] = ev.log.checkpoint(t, 99) }, audit.CheckManifest, "proof/checkpoint: size or root are not what the manifest says", ""},
		{"checkpoint altered", swap("proof/checkpoint", "\n100\n", "\n101\n"), audit.CheckSignature, "proof/checkpoint: the signature of the checkpoint", ""},
		{"checkpoint of another key", func(t testing.TB, ev *evidence) {
			ev.stranger(t)
			ev.files["proof/checkpoint"] = ev.log.checkpoint(t, 100)
		}, audit.CheckSignature, "proof/checkpoint: the ", ""},
		{"older checkpoint of another root", func(t testing.TB, ev *evidence) {
			older := audit.Checkpoint{Origin: logOrigin, Size: 47, Root: ev.log.root(t, 46)}
			ev.files["proof/older-checkpoint"], ev.manifest.Older.Root = ev.log.sign(t, older.String()), older.Root
			ev.seal(t)
		}, audit.CheckConsistency, "proof/consistency: it does not prove that the log of 100 entries extends the older checkpoint of 47", ""},
		{"older checkpoint of another size", func(t testing.TB, ev *evidence) { ev.files["proof/older-checkpoint"] = ev.log.checkpoint(t, 46) }, audit.CheckManifest, "proof/older-checkpoint: size or root", ""},
		{"older checkpoint altered", swap("proof/older-checkpoint", "\n47\n", "\n46\n"), audit.CheckSignature, "proof/older-checkpoint: the signature", ""},
		{"older checkpoint taken away", func(_ testing.TB, ev *evidence) {
			delete(ev.files, "proof/older-checkpoint")
			delete(ev.files, "proof/consistency")
		}, audit.CheckManifest, "manifest.json: it names an older checkpoint and the zip has none", ""},
		{"consistency altered", func(_ testing.TB, ev *evidence) {
			ev.lines("proof/consistency", func(lines []string) []string { return append(lines[1:], lines[0]) })
		}, audit.CheckConsistency, "proof/consistency: it does not prove", ""},
		{"consistency that is none", swap("proof/consistency", "=", "?"), audit.CheckFormat, "proof/consistency: it is not a list of hashes", ""},
		{"verifier exchanged", swap("verify.html", "verifier", "forger"), audit.CheckManifest, "verify.html: " + unlisted, ""},
		{"note altered", func(t testing.TB, ev *evidence) {
			sum := sha256.Sum256(ev.files["manifest.json"])
			swap("manifest.note", hex.EncodeToString(sum[:]), strings.Repeat("0", 64))(t, ev)
		}, audit.CheckSignature, "manifest.note: the signature of the note by", ""},
		{"note of a checkpoint", func(_ testing.TB, ev *evidence) { ev.files["manifest.note"] = ev.files["proof/checkpoint"] }, audit.CheckFormat, "manifest.note: the note begins with", ""},
		{"note of nobody", swap("manifest.note", "— ", "- "), audit.CheckFormat, "manifest.note: the note is not a signed note", ""},
		{"verifier missing", func(_ testing.TB, ev *evidence) { delete(ev.files, "verify.html") }, audit.CheckFormat, "the zip has no verify.html", ""},
		{"note missing", func(_ testing.TB, ev *evidence) { delete(ev.files, "manifest.note") }, audit.CheckFormat, "the zip has no manifest.note", ""},
		{"consistency missing", func(_ testing.TB, ev *evidence) { delete(ev.files, "proof/consistency") }, audit.CheckFormat, "the zip has no proof/consistency", ""},
		{"file more", func(_ testing.TB, ev *evidence) {
			ev.files["README.txt"], ev.order = []byte("Trust me."), append(ev.order, "README.txt")
		}, audit.CheckFormat, `the zip holds "README.txt", which is no part`, ""},
		{"file twice", func(_ testing.TB, ev *evidence) { ev.order = append(ev.order, "entries.csv") }, audit.CheckFormat, "the zip holds entries.csv twice", ""},
	}
}

// manifestTamperings edit each member of the manifest.
func manifestTamperings() []tampering {
	edit := func(name string, check audit.Check, says string, change func(m *audit.EvidenceManifest)) tampering {
		return tampering{"manifest: " + name, func(t testing.TB, ev *evidence) { change(ev.manifest); ev.write(t) }, check, says, unsigned}
	}
	text := func(name, old, with, says string) tampering {
		return tampering{"manifest: " + name, swap("manifest.json", old, with), audit.CheckFormat, says, ""}
	}
	one := uint64(1)
	return []tampering{
		edit("organization's name", audit.CheckManifest, unsigned, func(m *audit.EvidenceManifest) { m.Organization.Name = "Other" }),
		edit("filter", audit.CheckManifest, unsigned, func(m *audit.EvidenceManifest) { m.Filter = "action:document.*" }),
		edit("who asked", audit.CheckManifest, unsigned, func(m *audit.EvidenceManifest) { m.RequestedBy.ID = "u_8" }),
		edit("when", audit.CheckManifest, unsigned, func(m *audit.EvidenceManifest) { m.CreatedAt = m.CreatedAt.Add(time.Hour) }),
		edit("zone", audit.CheckManifest, unsigned, func(m *audit.EvidenceManifest) { m.Zone = "UTC" }),
		edit("server", audit.CheckManifest, unsigned, func(m *audit.EvidenceManifest) { m.Server.Version = "v9" }),
		edit("rows", audit.CheckManifest, "it says that there are 11 rows, and there are 10", func(m *audit.EvidenceManifest) { m.Rows++ }),
		edit("erased", audit.CheckManifest, "the details of 0 rows were erased, and of 1 they were", func(m *audit.EvidenceManifest) { m.Erased = 0 }),
		edit("first seq", audit.CheckManifest, "first_seq is not that of the first row", func(m *audit.EvidenceManifest) { m.FirstSeq = &one }),
		edit("last seq", audit.CheckManifest, "last_seq is not that of the last row", func(m *audit.EvidenceManifest) { m.LastSeq = nil }),
		edit("complete through", audit.CheckManifest, unsigned, func(m *audit.EvidenceManifest) { m.CompleteThrough.Seq++ }),
		edit("received", audit.CheckPlace, "entries.jsonl, line 10 (entry 65): it was not received in the time", func(m *audit.EvidenceManifest) { m.Received.To = m.Received.To.Add(-2 * time.Millisecond) }),
		edit("range wider", audit.CheckTree, `entries 20 to 20 are left out as "outside", and the range is 20 to 69`, func(m *audit.EvidenceManifest) { m.Range.From-- }),
		edit("range narrower", audit.CheckTree, `entries 21 to 21 are left out as "removed", and the range is 22 to 69`, func(m *audit.EvidenceManifest) { m.Range.From++ }),
		edit("schema missing", audit.CheckManifest, "the schemas are not those of the rows", func(m *audit.EvidenceManifest) { m.Schemas = nil }),
		edit("schema more", audit.CheckManifest, "the schemas are not those of the rows", func(m *audit.EvidenceManifest) {
			m.Schemas = append(m.Schemas, audit.EvidenceSchema{Action: "z", Version: 1})
		}),
		edit("target groups", audit.CheckFormat, "entries.csv, row 1: the first row", func(m *audit.EvidenceManifest) { m.CSV.TargetGroups++ }),
		edit("raw cells", audit.CheckRecord, "is not what entries.jsonl says", func(m *audit.EvidenceManifest) { m.CSV.RawCells = true }),
		edit("sum", audit.CheckManifest, unsigned, func(m *audit.EvidenceManifest) {
			m.Files["entries.csv"] = audit.EvidenceFile{SHA256: strings.Repeat("0", 64), Bytes: m.Files["entries.csv"].Bytes}
		}),
		edit("file not listed", audit.CheckManifest, unsigned, func(m *audit.EvidenceManifest) { delete(m.Files, "entries.csv") }),
		edit("file listed", audit.CheckManifest, unsigned, func(m *audit.EvidenceManifest) { m.Files["x"] = audit.EvidenceFile{} }),
		{"manifest: organization", func(t testing.TB, ev *evidence) { ev.manifest.Organization.ID = "org_2"; ev.write(t) }, audit.CheckOrigin, `manifest.json: the organization is "org_2", the log`, ""},
		{"manifest: origin", func(t testing.TB, ev *evidence) { ev.manifest.Origin = "evil.example.com/org_1"; ev.write(t) }, audit.CheckOrigin, "proof/checkpoint: it is of the log", ""},
		{"manifest: checkpoint", func(t testing.TB, ev *evidence) { ev.manifest.Checkpoint.Size++; ev.write(t) }, audit.CheckManifest, "proof/checkpoint: size or root", ""},
		{"manifest: older", func(t testing.TB, ev *evidence) { ev.manifest.Older.Root[0] ^= 1; ev.write(t) }, audit.CheckManifest, "proof/older-checkpoint: size or root", ""},
		{"manifest: no older", func(t testing.TB, ev *evidence) { ev.manifest.Older = nil; ev.write(t) }, audit.CheckManifest, "it names an older checkpoint and the zip has none, or the other way round", ""},
		{"manifest: range beyond", func(t testing.TB, ev *evidence) { ev.manifest.Range.To = 101; ev.write(t) }, audit.CheckManifest, "entries 21 to 101 are no range of a log of 100", ""},
		{"manifest: complete through the range's middle", func(t testing.TB, ev *evidence) { ev.manifest.CompleteThrough.Seq = 67; ev.write(t) }, audit.CheckManifest, "the range ends after the last entry that was considered", ""},
		{"manifest: no groups", func(t testing.TB, ev *evidence) { ev.manifest.CSV.TargetGroups = 0; ev.write(t) }, audit.CheckManifest, "a CSV has 1 to 100 groups", ""},
		text("format", "stele-evidence/v1", "stele-evidence/v2", `its format is "stele-evidence/v2"`),
		text("unknown member", `"rows"`, `"extra": 1,`+"\n  "+`"rows"`, "it is not written as a manifest is"),
		text("member twice", `"rows"`, `"rows": 1,`+"\n  "+`"rows"`, "it is not written as a manifest is"),
		text("another case", `"rows"`, `"Rows"`, "it is not written as a manifest is"),
		text("spacing", `"rows": `, `"rows":`, "it is not written as a manifest is"),
		text("time", "00.120Z", "00.12Z", "it is not written as a manifest is"),
		text("no JSON", "{", "[", "it is not the JSON that a manifest is"),
	}
}

func allTamperings() []tampering {
	return slices.Concat(rowTamperings(), treeTamperings(), fileTamperings(), manifestTamperings())
}

// TestEvidenceTampering alters evidence in every way that somebody might: each is
// detected, with and without the right key, and named.
func TestEvidenceTampering(t *testing.T) {
	x := evidenceCases(t)["mixed"]
	key := x.log.verifier(t)
	for _, tt := range allTamperings() {
		ev := x.make(t)
		tt.alter(t, ev)
		data := ev.zip(t)
		report, err := verifyEvidence(data, audit.EvidenceOptions{Keys: key})
		fault, ok := errors.AsType[*audit.VerifyError](err)
		if !ok || fault.Check != tt.check || !strings.Contains(fault.Sentence(), tt.says) {
			t.Errorf("%s: error %v, want %s: …%s…", tt.name, err, tt.check, tt.says)
			continue
		}
		if !slices.ContainsFunc(report.Problems, func(p *audit.VerifyError) bool { return strings.Contains(p.Sentence(), tt.also) }) {
			t.Errorf("%s: problems %v, want also …%s…", tt.name, report.Problems, tt.also)
		}
		if len(report.Verified()) > 0 || len(report.NotVerified()) > 0 {
			t.Errorf("%s: something is said to be verified", tt.name)
		}
		// Without the key, only what a stranger signed as a whole passes.
		if report, err := verifyEvidence(data, audit.EvidenceOptions{}); (err == nil) != (tt.name == "signed by a stranger") || report.KeyKnown {
			t.Errorf("%s: without the key: %v", tt.name, err)
		}
	}
}

// TestEvidenceCut cuts a zip off, adds to it, and flips a bit in each place:
// nothing of it passes.
func TestEvidenceCut(t *testing.T) {
	x := evidenceCases(t)["mixed"]
	data := x.make(t).zip(t)
	key := x.log.verifier(t)
	refused := func(name string, data []byte) {
		t.Helper()
		_, err := verifyEvidence(data, audit.EvidenceOptions{Keys: key})
		if _, ok := errors.AsType[*audit.VerifyError](err); !ok {
			t.Errorf("%s: error %v", name, err)
		}
	}
	for _, n := range []int{0, 1, 21, 22, 100, len(data) / 2, len(data) - 1} {
		refused("cut to "+strconv.Itoa(n), data[:n])
	}
	refused("more at the end", append(slices.Clone(data), 0))
	refused("more at the beginning", append([]byte{0}, data...))
	refused("another zip before", append(slices.Clone(data), data...))
}
