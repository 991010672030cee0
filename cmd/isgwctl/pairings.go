package main

import (
	"strings"

	"github.com/spf13/cobra"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

func (a *app) siteRename() *cobra.Command {
	return &cobra.Command{
		Use:   "rename SITE NEWNAME",
		Short: "Change what this site calls a paired one",
		Long: `The name is this site's own: nothing changes at the other one. An empty NEWNAME
goes back to what the other site calls itself. SITE is a name or an id.`,
		Example: "isgwctl site rename oahu honolulu\nisgwctl site rename honolulu ''",
		Args:    takes("SITE", emptyName),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			pairing, err := c.Pairings.Rename(cmd.Context(), &adminpb.RenamePairingRequest{Site: args[0], Name: args[1]})
			if err != nil {
				return err
			}
			return a.made(pairing, "site %s is called %s here", pairing.GetSiteId(), pairing.GetSiteName())
		}),
	}
}

func (a *app) siteRevoke() *cobra.Command {
	yes := false
	cmd := &cobra.Command{
		Use:   "revoke SITE",
		Short: "End the pairing with a site at once",
		Long: `Closes everything that is open with the site, and does not talk to it any more.
The links with it stay, with what they serve; they go on where they were when
the two sites are paired anew. What was copied stays at both. SITE is a name or
an id.`,
		Example: "isgwctl site revoke oahu\nisgwctl site revoke 5b0c6dcd80e1b1a3a1f0b8a1e3c8f9d2 --yes",
		Args:    takes("SITE"),
		PreRunE: func(*cobra.Command, []string) error { return a.mustAsk(yes) },
	}
	cmd.RunE = a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
		print, err := c.Pairings.Fingerprint(cmd.Context(), &adminpb.FingerprintRequest{Site: args[0]})
		if err != nil {
			return err
		}
		known := print.GetPairing()
		if !yes {
			links := "No link is with it."
			if names := known.GetServices(); len(names) > 0 {
				links = "Links that stop: " + plain(strings.Join(names, ", ")) + "."
			}
			a.done("Site %s, %s", named(known.GetSiteName(), known.GetSiteId()), links)
			if ok, err := a.agreed(cmd.Context(), "End the pairing?"); err != nil || !ok {
				return a.leftAlone(err)
			}
		}
		pairing, err := c.Pairings.Revoke(cmd.Context(), &adminpb.RevokePairingRequest{Site: known.GetSiteId()})
		if err != nil {
			return err
		}
		return a.made(pairing, "the pairing with %s has ended", named(pairing.GetSiteName(), pairing.GetSiteId()))
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func (a *app) siteRotate() *cobra.Command {
	yes := false
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Replace the keys by which other sites know this one",
		Long: `Draws a new identity key for the site and a new key for the node that answers.
The old identity signs that the new one follows it, so paired sites follow by
themselves at the next handshake, which comes at once; a site that is away
follows when it is back, after up to 16 replacements. Links go on. Nobody who
has followed believes the old key. Fingerprints change.`,
		Example: "isgwctl site rotate --yes",
		Args:    takes(),
		PreRunE: func(*cobra.Command, []string) error { return a.mustAsk(yes) },
	}
	cmd.RunE = a.run(func(cmd *cobra.Command, c *admin.Client, _ []string) error {
		if !yes {
			print, err := c.Pairings.Fingerprint(cmd.Context(), &adminpb.FingerprintRequest{})
			if err != nil {
				return err
			}
			a.done("Site %s is known as %s.", named(print.GetSiteName(), print.GetSiteId()), print.GetFingerprint())
			if ok, err := a.agreed(cmd.Context(), "Replace its keys?"); err != nil || !ok {
				return a.leftAlone(err)
			}
		}
		keys, err := c.Pairings.Rotate(cmd.Context(), &adminpb.RotateKeysRequest{})
		if err != nil {
			return err
		}
		return a.made(keys, "the site is known as %s now, and was as %s; %d paired sites follow",
			keys.GetFingerprint(), keys.GetBefore(), keys.GetPairings())
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func (a *app) siteFingerprint() *cobra.Command {
	return &cobra.Command{
		Use:   "fingerprint [SITE]",
		Short: "Show by what two people make sure whom they are paired with",
		Long: `Shows this site's fingerprint. With SITE, a name or an id, it shows that site's
too, and the number of the pairing: twelve groups of digits that are the same at
both sites exactly when each has pinned the other's true identity. Read them to
each other over the telephone.`,
		Example: "isgwctl site fingerprint\nisgwctl site fingerprint oahu",
		Args:    takes("[SITE]"),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			req := &adminpb.FingerprintRequest{}
			if len(args) > 0 {
				req.Site = args[0]
			}
			print, err := c.Pairings.Fingerprint(cmd.Context(), req)
			if err != nil {
				return err
			}
			return a.show(print, func(s *sheet) {
				s.line("site", named(print.GetSiteName(), print.GetSiteId()))
				s.line("fingerprint", print.GetFingerprint())
				if p := print.GetPairing(); p != nil {
					s.line("paired with", named(p.GetSiteName(), p.GetSiteId()))
					s.line("its fingerprint", p.GetFingerprint())
					s.line("together", print.GetTogether())
				}
			})
		}),
	}
}

// mustAsk refuses a command that would have to ask where nobody answers.
func (a *app) mustAsk(yes bool) error {
	if yes || a.terminal() {
		return nil
	}
	return usage("there is no terminal to ask on: use --yes")
}

// leftAlone ends a command whose question was answered with no.
func (a *app) leftAlone(err error) error {
	if err == nil {
		a.done("nothing was changed")
	}
	return err
}
