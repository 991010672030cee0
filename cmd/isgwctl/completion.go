package main

import (
	"github.com/spf13/cobra"
)

func (a *app) completionCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:     "completion bash|zsh|fish",
		Short:   "Print a script that completes commands in a shell",
		Long:    "Prints a script for a shell. It completes verbs and flags.",
		Example: "source <(isgwctl completion bash)",
		Args:    takes("bash|zsh|fish"),
		RunE: func(_ *cobra.Command, args []string) error {
			a.running = true
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.out, true)
			case "zsh":
				return root.GenZshCompletion(a.out)
			case "fish":
				return root.GenFishCompletion(a.out, true)
			}
			return usage("there is no completion for %q: bash, zsh or fish", args[0])
		},
	}
}
