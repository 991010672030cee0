package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"edgefog.dev/isgw/cluster"
)

func runCommand(environ []string) *cobra.Command {
	var opts cluster.Options
	var log logFlags
	config := ""
	cmd := &cobra.Command{
		Use:   "run --data DIR --site NAME",
		Short: "Run a node until SIGTERM or ctrl-c",
		Long: `Run a node of a site until SIGTERM or ctrl-c, which drain it and end it with 0.

A node with a fresh data directory serves only the admin socket DIR/admin.sock
until it is initialised: isgwctl --connect unix:DIR/admin.sock system init

Every flag can be set in the environment as ISGW_NAME, for example ISGW_DATA, and
in the YAML file that --config names, as NAME: VALUE. A flag goes before the
environment, and the environment before the file.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			envErr := fromEnvironment(cmd.Flags(), environ)
			envErr = errors.Join(envErr, fromFile(cmd.Flags(), config))
			logger, logErr := log.logger(cmd.ErrOrStderr())
			opts.Logger = logger
			if err := errors.Join(envErr, logErr, opts.Validate()); err != nil {
				return usageError{err}
			}
			cluster.LimitMemory()
			opts.OwnProcess = true
			return runNode(cmd.Context(), opts, logger, environ)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&config, configFlag, "", "YAML file with settings that no flag and no variable sets")
	flags.StringVar(&opts.Dir, "data", "", "data directory, made if it does not exist")
	flags.StringVar(&opts.Site, "site", "", "name of the site")
	flags.StringVar(&opts.Node, "node", "", "name of this node (default the host's name)")
	flags.StringSliceVar(&opts.Labels, "label", nil, "NAME=VALUE that placements of links go by, or NAME=VALUE:NoSchedule for a taint; several with commas")
	flags.StringVar(&opts.S3, "s3", cluster.DefaultS3, "address of the S3 endpoint, or none")
	flags.StringSliceVar(&opts.S3Domains, "s3-domain", nil, "domain under which a bucket may be named by the host, as in bk1.s3.example.com; several with commas")
	flags.StringVar(&opts.S3Cert, "s3-cert", "", "PEM file of the S3 endpoint's certificate, which makes it speak TLS; a change of the file is followed")
	flags.StringVar(&opts.S3Key, "s3-key", "", "PEM file of the certificate's key")
	flags.StringVar(&opts.Link, "link", cluster.DefaultLink, "address where other sites reach this one, or none")
	flags.StringVar(&opts.Admin, "admin", cluster.DefaultAdmin, "address of the admin API over TLS, or none")
	flags.StringVar(&opts.Raft, "raft", "", "address of raft; none for a site of one node")
	flags.StringVar(&opts.Metrics, "metrics", cluster.DefaultMetrics, "address of the Prometheus metrics, or none")
	flags.StringVar(&opts.Debug, "debug", cluster.None, "address of Go's profiles on loopback, or none")
	flags.DurationVar(&opts.LogKeep, "log-keep", 7*24*time.Hour, "how long changes are kept for sites that are away")
	log.register(flags, "info")
	return cmd
}
