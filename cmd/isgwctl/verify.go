package main

import (
	"fmt"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

func (a *app) linkVerify() *cobra.Command {
	req := &adminpb.VerifyRequest{}
	cmd := &cobra.Command{
		Use:   "verify NAME [NAMESPACE/TENANT/BUCKET[/PREFIX]]",
		Short: "Prove that both ends of a link are equal, or list what differs",
		Long: `Compares what this site and the other one hold of a bucket, or of all buckets
that the link serves: versions, delete markers, their attributes, and the
settings of the bucket. Equal buckets take one question, however large they
are. Otherwise each difference is listed: missing here, missing there,
differing. What is only on its way is waited for, so writes may go on.

With --content all content at this site is read and hashed too, and what is
damaged or missing is listed as corrupt; run it at the other site for its own.

The site that asks has to be one that receives, because the other one is asked
what it sends: of a link that goes one way, run it where it arrives. A link that
is paused is compared from the site that has paused it.

With --repair both sites take from each other what they lack, and corrupt
content is fetched again. Nothing is removed by a repair but what a deletion
that is still known removes.

The exit status is 1 when something differs that was not repaired.`,
		Example: "isgwctl link verify hawaii\nisgwctl link verify hawaii Hawaii/Cola/bk1/reports/ --repair",
		Args:    takes("NAME", "[NAMESPACE/TENANT/BUCKET[/PREFIX]]"),
	}
	cmd.RunE = a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
		req.Name = args[0]
		if len(args) > 1 {
			bucket, prefix, err := splitPrefix(args[1])
			if err != nil {
				return err
			}
			req.Bucket, req.Prefix = bucket, prefix
		}
		v := &verifyOutput{app: a, link: args[0]}
		meter := a.meter(v.progress)
		err := c.Verification.Verify(cmd.Context(), req, func(m *adminpb.VerifyResponse) error {
			if m.GetDifference() == nil && !m.GetDone() {
				return v.take(m)
			}
			return meter.aside(func() error { return v.take(m) }) // which writes
		})
		meter.stop()
		if err != nil {
			return err
		}
		return v.end()
	})
	cmd.Flags().BoolVar(&req.Content, "content", false, "read and hash all content at this site too")
	cmd.Flags().BoolVar(&req.Repair, "repair", false, "merge what differs, and fetch what is corrupt again")
	return cmd
}

// splitPrefix parts a path of a bucket, or of keys in one, in two.
func splitPrefix(path string) (bucket, prefix string, err error) {
	parts := strings.SplitN(path, "/", 4)
	if len(parts) < 3 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
		return "", "", usage("%q is not NAMESPACE/TENANT/BUCKET[/PREFIX]", path)
	}
	if len(parts) == 4 {
		prefix = parts[3]
	}
	return strings.Join(parts[:3], "/"), prefix, nil
}

// verifyOutput writes what a comparison finds as it comes.
type verifyOutput struct {
	app                             *app
	link                            string
	results                         []*adminpb.VerifyResponse // for the structured forms
	buckets, failed                 int
	versions, differences, repaired uint64

	mu   sync.Mutex
	last *adminpb.VerifyResponse // with how far it is
	done int                     // buckets, by then
}

// progress is how far the comparison is, as the node has told it last. How far that
// is of all nobody knows: equal ranges are passed over at once, however large.
func (v *verifyOutput) progress() progress {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.last == nil {
		return progress{}
	}
	p := v.last.GetProgress()
	text := fmt.Sprintf("%s: %s so far", v.last.GetBucket(), counted(p.GetDifferences(), "difference"))
	if p.GetRead() > 0 {
		text += fmt.Sprintf(", %s of content read", roundBytes(float64(p.GetReadBytes())))
	}
	if v.done > 0 {
		text += ", after " + counted(uint64(v.done), "bucket")
	}
	return progress{text: text}
}

// take takes one word of the node.
func (v *verifyOutput) take(m *adminpb.VerifyResponse) error {
	if m.GetProgress() != nil {
		v.mu.Lock()
		v.last, v.done = m, v.buckets
		v.mu.Unlock()
	}
	if m.GetDone() {
		v.buckets++
		p := m.GetProgress()
		v.versions += p.GetVersions()
		v.differences += p.GetDifferences()
		v.repaired += p.GetRepaired()
		if m.GetFailure() != "" {
			v.failed++
		}
	}
	d := m.GetDifference()
	switch {
	case v.app.structured():
		if d != nil || m.GetDone() {
			v.results = append(v.results, m)
		}
		return nil
	case d != nil && v.app.form == formName:
		name := m.GetBucket()
		if d.GetKey() != "" { // else it is a setting of the bucket
			name += "/" + d.GetKey()
		}
		_, err := fmt.Fprintln(v.app.out, plain(name))
		return err
	case d != nil:
		return v.line(m.GetBucket(), d)
	case !m.GetDone(): // which progress tells
		return nil
	}
	return v.bucket(m)
}

// line writes one difference.
func (v *verifyOutput) line(bucket string, d *adminpb.BucketDifference) error {
	line := fmt.Sprintf("%-13s  %s/%s", d.GetKind(), bucket, d.GetKey())
	switch {
	case d.GetKey() == "":
		line = fmt.Sprintf("%-13s  %s: setting %s", d.GetKind(), bucket, d.GetVersion())
	case d.GetVersion() != "" && d.GetVersion() != "null":
		line += "?versionId=" + d.GetVersion()
	}
	if d.GetCause() != "" {
		line += "  " + d.GetCause()
	}
	if d.GetRepaired() {
		line += "  (repaired)"
	}
	_, err := fmt.Fprintln(v.app.out, plain(line))
	return err
}

// bucket writes how the comparison of a bucket ended.
func (v *verifyOutput) bucket(m *adminpb.VerifyResponse) error {
	p := m.GetProgress()
	what := fmt.Sprintf("%s of %s", counted(p.GetVersions(), "version"), counted(p.GetKeys(), "key"))
	if p.GetLatest() {
		what = fmt.Sprintf("the latest versions of %s", counted(p.GetKeys(), "key"))
	}
	var line string
	switch {
	case m.GetFailure() != "":
		line = "not compared: " + m.GetFailure()
	case p.GetDifferences() == 0:
		line = "equal: " + what
	default:
		line = fmt.Sprintf("%s, %d repaired: %s", counted(p.GetDifferences(), "difference"), p.GetRepaired(), what)
	}
	if p.GetRead() > 0 {
		line += fmt.Sprintf(", %s of content read", byteCount(p.GetReadBytes()))
	}
	switch v.app.form {
	case formName: // which has the differences alone
		if m.GetFailure() != "" {
			v.app.done("%s  %s", m.GetBucket(), line)
		}
		return nil
	case formWide:
		line += ", " + counted(p.GetRequests(), "request") + " to the other site"
	}
	_, err := fmt.Fprintln(v.app.out, plain(m.GetBucket()+"  "+line))
	return err
}

// end writes what is written at the end, and fails when the ends are not equal.
func (v *verifyOutput) end() error {
	if v.app.structured() {
		if err := listJSON(v.app, v.results); err != nil {
			return err
		}
	}
	left := v.differences - v.repaired
	switch {
	case v.buckets == 0: // which is no proof of anything
		return admin.Errorf(admin.CodeFailed, "nothing was compared: link %s serves no bucket here", v.link).
			WithHint("serve one with `isgwctl service serve %s`", v.link)
	case v.failed > 0:
		return admin.Errorf(admin.CodeFailed, "%d of %d buckets could not be compared", v.failed, v.buckets)
	case left > 0:
		return admin.Errorf(admin.CodeFailed, "%s", counted(left, "difference")).WithHint("merge both sites with --repair")
	}
	v.app.done("both ends are equal: %s in %s", counted(v.versions, "version"), counted(uint64(v.buckets), "bucket"))
	return nil
}

// counted is a number of things in words.
func counted(n uint64, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
