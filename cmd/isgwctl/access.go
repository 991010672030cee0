package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

func (a *app) adminCommand() *cobra.Command {
	return group("admin", "Let others use the admin API, and see who changed what",
		`Over the node's socket its own user may do everything. From elsewhere somebody
needs the address of --admin, the site's authority to trust, and a token or a
client certificate with a role: viewer, tenant-admin (of one tenant), operator
or site-admin.`,
		group("token", "Make and revoke tokens", "A token is a secret that lets its bearer do what its role may.",
			a.tokenCreate(), a.tokenList(), a.tokenRevoke()),
		group("certificate", "Make client certificates", "A client certificate does what a token does, with a key that never leaves the\nclient. List and revoke it as a token.",
			a.certificateCreate()),
		a.adminCA(), a.adminWhoami(), a.adminAudit())
}

// grant is what a token or certificate may do, from flags.
type grant struct {
	role, tenant string
	ttl          time.Duration
}

func (g *grant) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&g.role, "role", "", "`ROLE`: viewer, tenant-admin, operator or site-admin")
	cmd.Flags().StringVar(&g.tenant, "tenant", "", "`NAMESPACE/TENANT` of a tenant-admin")
	cmd.Flags().DurationVar(&g.ttl, "ttl", 0, "`TIME` after which it is not valid any more (default: a token never, a certificate a year)")
}

func (g *grant) check() error {
	if g.role == "" {
		return usage("--role says what it is for: viewer, tenant-admin, operator or site-admin")
	}
	if g.ttl < 0 || g.ttl > 0 && g.ttl < time.Second {
		return usage("--ttl is at least 1s")
	}
	return nil
}

func (a *app) tokenCreate() *cobra.Command {
	var g grant
	cmd := &cobra.Command{
		Use:   "create [NAME]",
		Short: "Make a token",
		Long: `Makes a token and prints its secret, alone, on stdout: it is told once and kept
nowhere. What else a client needs is on stderr, or in -o json.`,
		Example: "isgwctl admin token create dashboard --role viewer --ttl 720h > token",
		Args:    takes("[NAME]"),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			if err := g.check(); err != nil {
				return err
			}
			req := &adminpb.CreateTokenRequest{Role: g.role, Tenant: g.tenant, TtlSeconds: uint64(g.ttl / time.Second)}
			if len(args) > 0 {
				req.Name = args[0]
			}
			made, err := c.Access.CreateToken(cmd.Context(), req)
			if err != nil {
				return err
			}
			if a.structured() {
				return a.json(made)
			}
			if _, err := fmt.Fprintln(a.out, plain(made.GetSecret())); err != nil {
				return err
			}
			a.done("token %s has the role %s; connect with it to %s, fingerprint %s",
				made.GetToken().GetName(), made.GetToken().GetRole(), httpsAddress(made.GetAddress()), made.GetAuthorityFingerprint())
			return nil
		}),
	}
	g.register(cmd)
	return cmd
}

// httpsAddress is where the admin API is served, as --connect takes it.
func httpsAddress(address string) string {
	if address == "" {
		return "nowhere: the node runs without --admin"
	}
	return "https://" + address
}

func (a *app) tokenList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List tokens and client certificates",
		Example: "isgwctl admin token list",
		Args:    takes(),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, _ []string) error {
			tokens, err := c.Access.ListTokens(cmd.Context())
			if err != nil {
				return err
			}
			if a.listed() {
				return listJSON(a, tokens)
			}
			t := a.table("NAME", "KIND", "ROLE", "TENANT", "CREATED", "EXPIRES", "BY")
			for _, k := range tokens {
				t.row(k.GetName(), k.GetKind(), k.GetRole(), orDash(k.GetTenant()), instant(k.GetCreated()), instant(k.GetExpires()), k.GetCreatedBy())
			}
			return t.end()
		}),
	}
}

func (a *app) tokenRevoke() *cobra.Command {
	return &cobra.Command{
		Use:     "revoke NAME",
		Short:   "End a token or client certificate at once",
		Example: "isgwctl admin token revoke dashboard",
		Args:    takes("NAME"),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			if err := c.Access.RevokeToken(cmd.Context(), args[0]); err != nil {
				return err
			}
			return a.did(args[0], "%s is revoked", args[0])
		}),
	}
}

func (a *app) certificateCreate() *cobra.Command {
	var g grant
	cert, key := "", ""
	cmd := &cobra.Command{
		Use:   "create NAME --out-cert FILE --out-key FILE",
		Short: "Make a client certificate with a key of its own",
		Long: `Draws a key here, has the site's authority sign it, and writes both to new
files; the key's is readable by its user alone. The key does not leave this
machine.`,
		Example: "isgwctl admin certificate create ops --role operator \\\n  --out-cert ops.pem --out-key ops.key",
		Args:    takes("NAME"),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			if err := g.check(); err != nil {
				return err
			}
			if cert == "" || key == "" {
				return usage("--out-cert and --out-key say where to write")
			}
			private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				return fmt.Errorf("draw a key: %w", err)
			}
			request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, private)
			if err != nil {
				return fmt.Errorf("make a certificate request: %w", err)
			}
			raw, err := x509.MarshalPKCS8PrivateKey(private)
			if err != nil {
				return fmt.Errorf("write the key: %w", err)
			}
			// The key's file comes first: a certificate without key is of no use.
			if err := newFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600); err != nil {
				return err
			}
			issued, err := c.Access.IssueCertificate(cmd.Context(), &adminpb.IssueCertificateRequest{
				RequestDer: request, Name: args[0], Role: g.role, Tenant: g.tenant, TtlSeconds: uint64(g.ttl / time.Second),
			})
			if err == nil {
				err = newFile(cert, []byte(issued.GetCertificatePem()), 0o644)
			}
			if err != nil {
				os.Remove(key) // nothing was signed, or it is lost
				return err
			}
			return a.made(issued, "certificate %s has the role %s until %s", args[0], g.role, instant(issued.GetToken().GetExpires()))
		}),
	}
	g.register(cmd)
	cmd.Flags().StringVar(&cert, "out-cert", "", "`FILE` for the certificate")
	cmd.Flags().StringVar(&key, "out-key", "", "`FILE` for its key")
	return cmd
}

// newFile writes a file that must not be there yet.
func newFile(name string, raw []byte, mode os.FileMode) error {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return usage("write %s: %v", name, err)
	}
	_, err = file.Write(raw)
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func (a *app) adminCA() *cobra.Command {
	return &cobra.Command{
		Use:     "ca",
		Short:   "Print the certificate of the site's authority",
		Long:    "Prints what clients need to trust the site's nodes, as PEM on stdout. The\nfingerprint is on stderr, or in -o json.",
		Example: "isgwctl admin ca > ca.pem",
		Args:    takes(),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, _ []string) error {
			who, err := c.Access.WhoAmI(cmd.Context())
			if err != nil {
				return err
			}
			if who.GetAuthorityPem() == "" {
				return admin.Errorf(admin.CodeConflict, "the node is not initialised and has no authority").WithHint("run `isgwctl system init`")
			}
			if a.structured() {
				return a.json(who)
			}
			a.done("fingerprint %s", who.GetAuthorityFingerprint())
			_, err = fmt.Fprint(a.out, plainLines(who.GetAuthorityPem()))
			return err
		}),
	}
}

func (a *app) adminWhoami() *cobra.Command {
	return &cobra.Command{
		Use:     "whoami",
		Short:   "Show who is calling, and with which role",
		Example: "isgwctl admin whoami",
		Args:    takes(),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, _ []string) error {
			who, err := c.Access.WhoAmI(cmd.Context())
			if err != nil {
				return err
			}
			return a.show(who, func(s *sheet) {
				s.line("principal", who.GetCaller().GetPrincipal())
				s.line("role", who.GetCaller().GetRole())
				s.some("tenant", who.GetCaller().GetTenant())
				s.line("authority", orDash(who.GetAuthorityFingerprint()))
				s.line("admin address", orDash(who.GetAddress()))
			})
		}),
	}
}

func (a *app) adminAudit() *cobra.Command {
	limit := 0
	cmd := &cobra.Command{
		Use:     "audit",
		Short:   "Show the last changes: who, what, and what came of it",
		Example: "isgwctl admin audit --limit 20",
		Args:    takes(),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, _ []string) error {
			entries, err := c.Access.Audit(cmd.Context(), limit)
			if err != nil {
				return err
			}
			if a.listed() {
				return listJSON(a, entries)
			}
			header := []string{"TIME", "PRINCIPAL", "ROLE", "CALL", "OBJECT", "RESULT", "REQUEST"}
			if a.form == formWide {
				header = append(header, "MESSAGE")
			}
			t := a.table(header...)
			for _, e := range entries {
				row := []string{instant(e.GetTime()), e.GetPrincipal(), e.GetRole(), e.GetProcedure(), orDash(e.GetObject()), e.GetResult(), e.GetRequestId()}
				if a.form == formWide {
					row = append(row, orDash(e.GetMessage()))
				}
				t.row(row...)
			}
			return t.end()
		}),
	}
	cmd.Flags().IntVar(&limit, "limit", 100, "show at most `N` entries")
	return cmd
}
