package web

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/server"
)

// proofNote is what the page of an entry says of its place in the log, and what
// js/verify.js needs beside the proof.
type proofNote struct {
	// Checkpoint is the size of the signed checkpoint that the proof is
	// against; 0 when there is none, for the reason in Fault.
	Checkpoint uint64
	Fault      string
	// URL is the proof, Consistency how the log has grown since a checkpoint.
	URL, Consistency string
	// Origin is the name of the log, Key the public key that signs it.
	Origin, Key string
	// File is a name for the downloaded proof.
	File string
}

// proofNote finds the place of an entry. What keeps a proof from being made, such
// as a store that is an older copy, is told and hides nothing else.
func (p *pages) proofNote(ctx context.Context, org string, e *event.Entry) proofNote {
	id := e.ID.String()
	key := p.Ledger.LogVerifierKey(org)
	origin, _, _ := strings.Cut(key, "+")
	n := proofNote{
		URL: entriesPath + id + "/proof", Consistency: Base + "/audit-log/consistency",
		Origin: origin, Key: key, File: id + ".proof.json",
	}
	c, err := p.checkpointOf(ctx, org, e.Seq)
	if err != nil {
		n.Fault = "a proof could not be made just now; try again in a moment"
		if fault, ok := errors.AsType[*audit.Error](err); ok && fault.Code != audit.CodeInternal {
			n.Fault = fault.Message
		}
		return n
	}
	n.Checkpoint = c.Size
	return n
}

// checkpointOf is the checkpoint that the proof of an entry hangs on.
func (p *pages) checkpointOf(ctx context.Context, org string, seq uint64) (audit.Checkpoint, error) {
	proof, err := p.Ledger.Prove(ctx, org, seq)
	if err != nil {
		return audit.Checkpoint{}, err
	}
	inclusion, err := audit.ParseInclusionProof(proof.Proof)
	if err != nil {
		return audit.Checkpoint{}, err
	}
	return audit.OpenCheckpoint(inclusion.Checkpoint, p.Ledger.LogVerifierKey(org))
}

// proof answers with the proof of an entry: the JSON that stele verify reads.
func (p *pages) proof(w http.ResponseWriter, r *server.Request) error {
	org := r.Organization.ID
	e, err := p.Ledger.Entry(r.Context(), org, r.PathValue("id"))
	if err != nil {
		return err
	}
	proof, err := p.Ledger.Prove(r.Context(), org, e.Seq)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if r.URL.Query().Get("download") == "1" {
		h.Set("Content-Disposition", `attachment; filename="`+e.ID.String()+`.proof.json"`)
	}
	return server.WriteJSON(w, http.StatusOK, proof)
}

// consistencyAnswer says that the tree of New entries extends that of Old.
type consistencyAnswer struct {
	Old    uint64   `json:"old"`
	New    uint64   `json:"new"`
	Hashes []string `json:"hashes"` // base 64, as in RFC 6962
}

// consistency answers with the proof that a log extends an older one.
func (p *pages) consistency(w http.ResponseWriter, r *server.Request) error {
	older, err := sizeParam(r, "old")
	if err != nil {
		return err
	}
	newer, err := sizeParam(r, "new")
	if err != nil {
		return err
	}
	proof, err := p.Ledger.ProveTree(r.Context(), r.Organization.ID, newer, older)
	if err != nil {
		return err
	}
	out := consistencyAnswer{Old: older, New: newer, Hashes: make([]string, len(proof))}
	for i, h := range proof {
		out.Hashes[i] = h.String()
	}
	w.Header().Set("Cache-Control", "no-store")
	return server.WriteJSON(w, http.StatusOK, out)
}

func sizeParam(r *server.Request, name string) (uint64, error) {
	n, err := strconv.ParseUint(r.URL.Query().Get(name), 10, 63)
	if err != nil {
		return 0, audit.FieldErrorf(audit.CodeInvalidRequest, name, "must be the size of a checkpoint")
	}
	return n, nil
}
