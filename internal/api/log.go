package api

import (
	"compress/gzip"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/server"
)

func (a *api) proveEvent(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	e, err := a.Ledger.Entry(r.Context(), r.Org(), r.PathValue("id"))
	if err != nil {
		return err
	}
	proof, err := a.Ledger.Prove(r.Context(), r.Org(), e.Seq)
	if err != nil {
		return err
	}
	w.Header().Set("Vary", "Accept")
	if wantsText(r.Header.Values("Accept")) {
		return writeBytes(w, http.StatusOK, textType, []byte(proof.Proof))
	}
	// The entry is the proof's own: it may have been erased since it was found.
	return server.WriteJSON(w, http.StatusOK, proof)
}

// wantsText reports whether the first type that Accept names, of those there
// are, is text.
func wantsText(accept []string) bool {
	for item := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		media, _, err := mime.ParseMediaType(item)
		if err != nil {
			continue
		}
		switch media {
		case "text/plain", "text/*":
			return true
		case "application/json", "application/*", "*/*":
			return false
		}
	}
	return false
}

func (a *api) checkpoint(w http.ResponseWriter, r *server.Request) error {
	p, err := parseParams(r, "witnessed")
	if err != nil {
		return err
	}
	witnessed, err := p.flag("witnessed")
	if err != nil {
		return err
	}
	get := a.Ledger.Checkpoint
	if witnessed {
		get = a.Witnessed
	}
	note, err := get(r.Context(), r.Org())
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-cache")
	return writeBytes(w, http.StatusOK, textType, note)
}

// consistency is the proof that a log extends an older state of itself. Tiles
// would do as well, but those of entries that were removed may be gone.
type consistency struct {
	From   uint64   `json:"from"`
	To     uint64   `json:"to"`
	Hashes []string `json:"hashes"`
}

func (a *api) consistency(w http.ResponseWriter, r *server.Request) error {
	p, err := parseParams(r, "from", "to")
	if err != nil {
		return err
	}
	var out consistency
	if out.From, err = p.size("from"); err != nil {
		return err
	}
	if out.To, err = p.size("to"); err != nil {
		return err
	}
	proof, err := a.Ledger.ProveTree(r.Context(), r.Org(), out.To, out.From)
	if err != nil {
		return err
	}
	out.Hashes = make([]string, len(proof))
	for i := range proof {
		out.Hashes[i] = proof[i].String()
	}
	return server.WriteJSON(w, http.StatusOK, out)
}

// size returns a parameter that is the size of a tree, which must be there.
func (p params) size(name string) (uint64, error) {
	n, err := strconv.ParseUint(p.text(name), 10, 63)
	if err != nil || n == 0 {
		return 0, audit.FieldErrorf(audit.CodeInvalidRequest, name, "must be the size of a checkpoint, from 1")
	}
	return n, nil
}

func (a *api) logKey(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	return writeBytes(w, http.StatusOK, textType, []byte(a.Ledger.LogVerifierKey(r.Org())+"\n"))
}

func (a *api) serverKey(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	return writeBytes(w, http.StatusOK, textType, []byte(a.Ledger.VerifierKey()+"\n"))
}

func (a *api) tile(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	at, ok := parseTile(r.PathValue("path"))
	if !ok {
		return errNoTile
	}
	var data []byte
	var err error
	if at.entries {
		data, err = a.Ledger.Bundle(r.Context(), r.Org(), at.index, at.width)
	} else {
		data, err = a.Ledger.Tile(r.Context(), r.Org(), at.level, at.index, at.width)
	}
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Cache-Control", "private, max-age=31536000, immutable") // private: it took a key
	if !at.entries {
		return writeBytes(w, http.StatusOK, "application/octet-stream", data)
	}
	h.Set("Vary", "Accept-Encoding")
	if !acceptsGzip(r.Header.Values("Accept-Encoding")) {
		return writeBytes(w, http.StatusOK, "application/octet-stream", data)
	}
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Encoding", "gzip")
	zip := gzip.NewWriter(w)
	if _, err := zip.Write(data); err != nil {
		return err
	}
	return zip.Close()
}

// errNoTile is the answer for a tile that is not there, or not yet.
var errNoTile = audit.Errorf(audit.CodeNotFound, "there is no such tile in this log")

// tilePath is what the path of a tile says (C2SP tlog-tiles).
type tilePath struct {
	entries bool // an entry bundle, not hashes
	level   int
	index   uint64
	width   int // 1 to ledger.TileWidth
}

// parseTile reads L/N, L/N.p/W, entries/N or entries/N.p/W. There is one way to
// write each.
func parseTile(path string) (tilePath, bool) {
	const maxLevel = 63
	at := tilePath{width: ledger.TileWidth}
	level, rest, ok := strings.Cut(path, "/")
	if !ok {
		return at, false
	}
	if at.entries = level == "entries"; !at.entries {
		n, ok := decimal(level)
		if !ok || n > maxLevel {
			return at, false
		}
		at.level = int(n)
	}
	index, width, partial := strings.Cut(rest, ".p/")
	if partial {
		n, ok := decimal(width)
		if !ok || n < 1 || n >= ledger.TileWidth {
			return at, false
		}
		at.width = int(n)
	}
	at.index, ok = parseIndex(index)
	return at, ok
}

// parseIndex reads 1234067 from x001/x234/067.
func parseIndex(text string) (uint64, bool) {
	groups := strings.Split(text, "/")
	var index uint64
	for i, group := range groups {
		if i < len(groups)-1 {
			if group, _ = strings.CutPrefix(group, "x"); len(group) != 3 || len(groups[i]) != 4 {
				return 0, false
			}
		}
		n, err := strconv.ParseUint(group, 10, 10)
		if err != nil || len(group) != 3 || n > 999 || i == 0 && len(groups) > 1 && n == 0 || index > 1<<53 {
			return 0, false
		}
		index = index*1000 + n
	}
	return index, true
}

// decimal reads a number without leading zeros.
func decimal(text string) (uint64, bool) {
	n, err := strconv.ParseUint(text, 10, 16)
	return n, err == nil && text == strconv.FormatUint(n, 10)
}

// acceptsGzip reports whether Accept-Encoding names gzip.
func acceptsGzip(accept []string) bool {
	for item := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		name, attrs, err := mime.ParseMediaType(item)
		if err == nil && name == "gzip" && attrs["q"] != "0" {
			return true
		}
	}
	return false
}
