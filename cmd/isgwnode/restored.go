package main

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"

	"edgefog.dev/isgw/cluster"
)

func restoredCommand(environ []string) *cobra.Command {
	var opts cluster.Options
	var log logFlags
	config := ""
	cmd := &cobra.Command{
		Use:   "restored --data DIR --site NAME",
		Short: "Say, once, that a data directory was put back from a backup",
		Long: `Say that the data directory of a node was put back from a backup, before the node
is run again. It has to be said once after every restoration. The other sites and
this one then compare their buckets: what was written here since the backup comes
back from there, and what was deleted since stays deleted. Without it the names of
versions that were lost with the old disk would be given out again.

It is to be run as the user that the node runs as, to whom the directory belongs.`,
		Example: "runuser -u isgw -- isgwnode restored --data /var/lib/isgw --site hawaii",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			envErr := fromEnvironment(cmd.Flags(), environ)
			envErr = errors.Join(envErr, fromFile(cmd.Flags(), config))
			logger, logErr := log.logger(cmd.ErrOrStderr())
			if err := errors.Join(envErr, logErr); err != nil {
				return usageError{err}
			}
			if opts.Dir == "" || opts.Site == "" {
				return usageError{errors.New("say which node was restored: --data and --site")}
			}
			if err := ownedHere(opts.Dir, os.Geteuid()); err != nil {
				return err
			}
			opts.Logger = logger
			was, is, err := cluster.Restored(cmd.Context(), opts)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "site %s was restored from a backup: its epoch is %d and was %d; its links compare every bucket when the node runs\n", opts.Site, is, was)
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&config, configFlag, "", "YAML file with settings that no flag and no variable sets")
	flags.StringVar(&opts.Dir, "data", "", "data directory")
	flags.StringVar(&opts.Site, "site", "", "name of the site")
	log.register(flags, "warn")
	return cmd
}

// ownedHere refuses a data directory that belongs to somebody else than the user uid:
// root could change it, and would leave files in it that the node cannot read.
func ownedHere(dir string, uid int) error {
	info, err := os.Stat(dir)
	if err != nil {
		return nil // it is said when the directory is opened
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) == uid {
		return nil
	}
	owner := strconv.Itoa(int(st.Uid))
	if u, err := user.LookupId(owner); err == nil {
		owner = u.Username
	}
	return fmt.Errorf("data directory %s belongs to user %s: run this as that user, as the node does (runuser -u %s -- isgwnode restored ...)", dir, owner, owner)
}
