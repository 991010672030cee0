package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"edgefog.dev/isgw/cluster/buildinfo"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, and the commit and toolchain it was built from",
		Long: `Prints the version of this program and asks no node; the node's is in system
status. The date is that of the commit: equal sources give equal programs.`,
		Example: "isgwctl version\nisgwctl version -o name",
		Args:    takes(),
		RunE: func(*cobra.Command, []string) error {
			a.running = true
			return a.writeVersion(buildinfo.Read())
		},
	}
}

func (a *app) writeVersion(info buildinfo.Info) error {
	switch {
	case a.structured():
		text, err := json.MarshalIndent(info, "", "  ")
		if err != nil {
			return fmt.Errorf("write JSON: %w", err)
		}
		if a.form == formYAML {
			return a.yaml(string(text))
		}
		_, err = fmt.Fprintf(a.out, "%s\n", text)
		return err
	case a.form == formName:
		_, err := fmt.Fprintln(a.out, plain(info.Version))
		return err
	}
	_, err := io.WriteString(a.out, plainLines(info.Text("isgwctl")))
	return err
}
