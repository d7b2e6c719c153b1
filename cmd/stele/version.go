package main

import (
	"fmt"
	"runtime/debug"
)

type versionCmd struct{}

// Run prints the version the binary was built from.
func (versionCmd) Run(p *process) error {
	_, err := fmt.Fprintln(p.stdout, "stele", version())
	return err
}

// version is the module version, or the revision of a build from a checkout.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = "devel"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			v += " " + s.Value[:12]
		}
	}
	return v + " " + info.GoVersion
}
