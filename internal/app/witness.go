package app

import (
	"context"
	"fmt"
	"os"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/witness"
)

// openWitness begins to have checkpoints witnessed, if the operator has named
// witnesses.
func (a *App) openWitness() error {
	if a.cfg.WitnessPolicy == "" {
		return nil
	}
	text, err := os.ReadFile(a.cfg.WitnessPolicy)
	if err != nil {
		return fmt.Errorf("--witness-policy: %w", err)
	}
	policy, err := audit.ParsePolicy(string(text))
	if err == nil {
		a.witness, err = witness.Open(witness.Config{
			Policy: policy, KV: a.Store, Log: a.Ledger, Organizations: directory{a}.OrganizationIDs, Every: a.cfg.WitnessEvery,
			Signed: a.metrics.cosigned, Logger: a.cfg.Logger, Now: a.cfg.Now,
		})
	}
	if err != nil {
		return fmt.Errorf("--witness-policy %s: %w", a.cfg.WitnessPolicy, err)
	}
	return nil
}

// witnessed returns the newest checkpoint of a log that witnesses have signed.
func (a *App) witnessed(ctx context.Context, org string) ([]byte, error) {
	if a.witness == nil {
		return nil, audit.Errorf(audit.CodeNotFound, "this server has its checkpoints signed by no witnesses")
	}
	return a.witness.Checkpoint(ctx, org)
}
