package format

import (
	"slices"

	"github.com/stelehq/stele/internal/stream/format/ocsf"
)

// All returns a registry of all formats, in the order in which they are offered.
func All() (*Registry, error) {
	formats := []Format{JSON()}
	for _, version := range slices.Backward(ocsf.Versions()) {
		f, err := OCSF(version, Promotions())
		if err != nil {
			return nil, err
		}
		formats = append(formats, f)
	}
	return NewRegistry(append(formats, ECS(), CEF(), WorkOS())...), nil
}
