package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// snapshotTime bounds the wait for a snapshot of the site.
const snapshotTime = 20 * time.Second

// snapshot asks for one snapshot of the site.
func snapshot(ctx context.Context, c *admin.Client) (*adminpb.ConsoleSnapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, snapshotTime)
	defer cancel()
	var got *adminpb.ConsoleSnapshot
	enough := errors.New("enough")
	err := c.Console.Watch(ctx, 0, 0, func(s *adminpb.ConsoleSnapshot) error {
		got = s
		return enough
	})
	if !errors.Is(err, enough) {
		return nil, err
	}
	return got, nil
}

func (a *app) statusCommand() *cobra.Command {
	check, buckets := false, false
	cmd := a.watched(&cobra.Command{
		Use:   "status [NAMESPACE[/TENANT[/BUCKET]]]",
		Short: "Say whether replication is healthy, and why not",
		Long: `Answers in the first line whether replication is healthy, then what needs
attention with what to do, and how each link does. With --check the exit status
is 8 when it is not healthy.

With a path it says the same of the buckets below it, each on each of its links,
and --check goes by these alone. --buckets adds all buckets to what is said of
the site. -o json then has the links with those buckets, -o name their paths.

With --check and --watch it ends when it is not healthy.`,
		Example: "isgwctl status\nisgwctl status --check || alert\nisgwctl status Hawaii/Cola/bk1\nisgwctl status --buckets -o wide\nisgwctl status --watch --interval 10s",
		Args:    takes("[NAMESPACE[/TENANT[/BUCKET]]]"),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			verdict, err := a.status(cmd, c, args, buckets)
			if err != nil || !check || verdict.GetHealthy() {
				return err
			}
			return &admin.Error{Code: admin.CodeUnhealthy, Message: verdict.GetSentence(), Hint: verdict.GetNextStep()}
		}),
	})
	cmd.Flags().BoolVar(&check, "check", false, "exit with 8 when it is not healthy")
	cmd.Flags().BoolVar(&buckets, "buckets", false, "with every bucket on every link")
	return cmd
}

// status writes how the site, or the buckets below a path, do, and returns the
// verdict.
func (a *app) status(cmd *cobra.Command, c *admin.Client, args []string, buckets bool) (*adminpb.Verdict, error) {
	if len(args) > 0 {
		return a.bucketStatus(cmd, c, args[0])
	}
	s, err := snapshot(cmd.Context(), c)
	if err != nil {
		return nil, err
	}
	switch {
	case buckets && a.listed(): // the buckets alone
	case a.structured():
		err = a.json(s)
	case a.form == formName:
		_, err = fmt.Fprintln(a.out, plain(s.GetSiteName()))
	default:
		if err = a.writeSnapshot(s); err == nil && buckets {
			_, err = fmt.Fprintln(a.out)
		}
	}
	if err != nil || !buckets {
		return s.GetVerdict(), err
	}
	_, err = a.bucketStatus(cmd, c, "")
	return s.GetVerdict(), err
}

func (a *app) writeSnapshot(snapshot *adminpb.ConsoleSnapshot) error {
	s := a.sheet()
	s.line(named(snapshot.GetSiteName(), ""), snapshot.GetVerdict().GetSentence())
	for _, alert := range snapshot.GetAlerts() {
		text := alert.GetCause()
		if alert.GetNextStep() != "" {
			text += "; " + alert.GetNextStep()
		}
		subject := alert.GetWord()
		if alert.GetService() != "" {
			subject = alert.GetService() + " " + subject
		}
		s.line(alert.GetGlyph()+" "+plain(subject), text)
	}
	if s.err != nil || len(snapshot.GetLinks()) == 0 {
		return s.err
	}
	header := []string{"LINK", "STATE", "ROUTE", "OUT", "IN", "LAG", "TARGET", "BACKLOG", "DRAINS IN"}
	if a.form == formWide {
		header = append(header, "BYTES", "PENDING", "QUARANTINED", "IN FLIGHT", "ERRORS", "ROUND TRIP", "BUCKETS", "REMOTE", "OLDEST")
	}
	t := a.table(header...)
	for _, l := range snapshot.GetLinks() {
		row := []string{
			l.GetName(), l.GetGlyph() + " " + l.GetStateWord(), l.GetRoute(), rate(l.OutRate), rate(l.InRate), seconds(l.LagSeconds),
			seconds(&l.LagTargetSeconds), optionalCount(l.BacklogVersions, false), linkDrainsIn(l),
		}
		if a.form == formWide {
			oldest := unknown
			if l.GetOldestKey() != "" {
				oldest = l.GetOldestBucket() + "/" + l.GetOldestKey()
			}
			row = append(row, optionalBytes(l.BacklogBytes, false), fmt.Sprint(l.GetPending()), fmt.Sprint(l.GetQuarantined()),
				roundBytes(float64(l.GetInFlightBytes())), fmt.Sprint(l.GetErrors()), seconds(l.LatencySeconds),
				fmt.Sprint(l.GetBuckets()), orDash(l.GetRemote()), oldest)
		}
		t.row(row...)
	}
	return t.end()
}

func rate(perSecond *float64) string {
	if perSecond == nil {
		return unknown
	}
	return roundBytes(*perSecond) + "/s"
}

// linkDrainsIn is how long a link needs at the present pace; what has no backlog has
// nothing to drain.
func linkDrainsIn(l *adminpb.ConsoleLink) string {
	if l.BacklogVersions != nil && l.GetBacklogVersions() == 0 {
		return unknown
	}
	return seconds(l.DrainSeconds)
}
