package main

import (
	"context"
	"errors"
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
	check := false
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say whether replication is healthy, and why not",
		Long: `Answers in the first line whether replication is healthy, then what needs
attention with what to do, and how each link does. With --check the exit status
is 8 when it is not healthy.`,
		Example: "isgwctl status\nisgwctl status --check || alert",
		Args:    takes(),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, _ []string) error {
			s, err := snapshot(cmd.Context(), c)
			if err != nil {
				return err
			}
			if a.structured() {
				err = a.json(s)
			} else {
				err = a.writeSnapshot(s)
			}
			if err != nil || !check || s.GetVerdict().GetHealthy() {
				return err
			}
			return &admin.Error{Code: admin.CodeUnhealthy, Message: s.GetVerdict().GetSentence(), Hint: s.GetVerdict().GetNextStep()}
		}),
	}
	cmd.Flags().BoolVar(&check, "check", false, "exit with 8 when it is not healthy")
	return cmd
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
	t := a.table("LINK", "STATE", "ROUTE", "OUT", "IN", "LAG", "TARGET", "BACKLOG", "DRAINS IN")
	for _, l := range snapshot.GetLinks() {
		t.row(l.GetName(), l.GetGlyph()+" "+l.GetStateWord(), l.GetRoute(), rate(l.OutRate), rate(l.InRate), seconds(l.LagSeconds),
			seconds(&l.LagTargetSeconds), optionalCount(l.BacklogVersions, false), seconds(l.DrainSeconds))
	}
	return t.end()
}

func rate(perSecond *float64) string {
	if perSecond == nil {
		return unknown
	}
	return roundBytes(*perSecond) + "/s"
}
