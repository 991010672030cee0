package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

func (a *app) siteCommand() *cobra.Command {
	return group("site", "Pair sites with each other",
		`Two sites that are to be linked are paired first: one makes a token, the other
uses it, and from then on each knows the other by its identity key.`,
		a.siteInvite(), a.sitePair(), a.siteList(), a.siteFingerprint(), a.siteRename(), a.siteRotate(), a.siteRevoke())
}

func (a *app) siteInvite() *cobra.Command {
	address := ""
	cmd := &cobra.Command{
		Use:   "invite",
		Short: "Make a token that pairs another site with this one",
		Long: `Prints a token that can be used once, within a quarter of an hour. The token
alone goes to stdout. Give it to the other site over a channel you trust.`,
		Example: "isgwctl site invite --address 10.3.30.75:14000\nTOKEN=$(isgwctl site invite)",
		Args:    takes(),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, _ []string) error {
			invitation, err := c.Sites.Invite(cmd.Context(), &adminpb.InviteRequest{Address: address})
			if err != nil {
				return err
			}
			if a.structured() {
				return a.json(invitation)
			}
			if _, err := fmt.Fprintln(a.out, plain(invitation.GetToken())); err != nil {
				return err
			}
			a.done("use it at the other site with `isgwctl site pair TOKEN` before %s; that site will dial %s",
				instant(invitation.GetExpires()), orDash(invitation.GetAddress()))
			return nil
		}),
	}
	cmd.Flags().StringVar(&address, "address", "", "`HOST:PORT` where the other site reaches this one's link endpoint (default where it listens)")
	return cmd
}

func (a *app) sitePair() *cobra.Command {
	return &cobra.Command{
		Use:   "pair TOKEN",
		Short: "Pair this site with the one that made a token",
		Long: `Dials the site that made the token. When it returns, both sites have pinned each
other's identity. A token is good for one pairing.`,
		Example: "isgwctl site pair \"$TOKEN\"",
		Args:    takes("TOKEN"),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			pairing, err := c.Sites.Pair(cmd.Context(), strings.TrimSpace(args[0]))
			if err != nil {
				return err
			}
			return a.made(pairing, "this site is paired with %s, identity %s",
				named(pairing.GetSiteName(), pairing.GetSiteId()), pairing.GetFingerprint())
		}),
	}
}

func (a *app) siteList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the sites that this one is paired with",
		Example: "isgwctl site list",
		Args:    takes(),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, _ []string) error {
			pairings, err := c.Sites.Pairings(cmd.Context())
			if err != nil {
				return err
			}
			if a.listed() {
				return listJSON(a, pairings)
			}
			t := a.table("SITE", "ID", "ADDRESS", "LINKS", "PAIRED", "IDENTITY")
			for _, p := range pairings {
				t.row(orDash(p.GetSiteName()), p.GetSiteId(), orDash(p.GetAddress()), orDash(strings.Join(p.GetServices(), " ")),
					instant(p.GetCreated()), p.GetFingerprint())
			}
			return t.end()
		}),
	}
}
