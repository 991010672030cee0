package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
)

const objectShape = "NAMESPACE/TENANT/BUCKET/KEY"

func (a *app) objectCommand() *cobra.Command {
	return group("object", "List, store and read objects",
		"Objects are named by their bucket and key: Hawaii/Cola/bk1/reports/2026.csv.",
		a.objectList(), a.objectShow(), a.objectPut(), a.objectGet(), a.objectDelete(),
		a.objectVersions(), a.objectConflicts(), a.objectPromote())
}

// splitObject divides a path into its bucket and what follows, which may hold
// slashes and may be empty.
func splitObject(path string) (bucket, key string, err error) {
	parts := strings.SplitN(path, "/", 4)
	if len(parts) < 3 {
		return "", "", usage("%q does not name a bucket; give it as NAMESPACE/TENANT/BUCKET", path)
	}
	if len(parts) == 4 {
		key = parts[3]
	}
	return strings.Join(parts[:3], "/"), key, nil
}

// splitKey is splitObject for a path that has a key.
func splitKey(path string) (bucket, key string, err error) {
	bucket, key, err = splitObject(path)
	if err == nil && key == "" {
		err = usage("%q has no key; give it as %s", path, objectShape)
	}
	return bucket, key, err
}

func (a *app) objectList() *cobra.Command {
	req := &adminpb.ListObjectsRequest{}
	limit := uint64(0)
	cmd := &cobra.Command{
		Use:   "list NAMESPACE/TENANT/BUCKET[/PREFIX]",
		Short: "List the objects of a bucket",
		Long: `Lists the objects of a bucket, ordered by key: size, time and key, one a line.
With --delimiter / keys are listed as the files of one directory, and a
directory stands for what is below it. -o wide has the version and the ETag too.`,
		Example: "isgwctl object list Hawaii/Cola/bk1\nisgwctl object list Hawaii/Cola/bk1/reports/ --delimiter /",
		Args:    takes("NAMESPACE/TENANT/BUCKET[/PREFIX]"),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			var err error
			if req.Bucket, req.Prefix, err = splitObject(args[0]); err != nil {
				return err
			}
			out := &list[*adminpb.ObjectItem]{app: a, text: itemLine}
			if a.form == formWide {
				out.text = wideItemLine
			}
			for left := limit; ; {
				if limit > 0 {
					req.Limit = uint32(min(left, 1000))
				}
				page, err := c.Objects.List(cmd.Context(), req)
				if err != nil {
					return err
				}
				for _, item := range page.GetItems() {
					if err := out.add(item); err != nil {
						return err
					}
				}
				left -= min(left, uint64(len(page.GetItems())))
				if !page.GetMore() || limit > 0 && left == 0 {
					return out.end()
				}
				if page.GetNext() == "" || page.GetNext() == req.After {
					return fmt.Errorf("list %s: the node does not say where the next page begins", args[0])
				}
				req.After = page.GetNext()
			}
		}),
	}
	cmd.Flags().StringVar(&req.Delimiter, "delimiter", "", "list what is below this `CHARACTER` as one")
	cmd.Flags().Uint64Var(&limit, "limit", 0, "write at most `N` lines (default all)")
	return cmd
}

// itemLine has columns of fixed width, so that a list of any length streams.
func itemLine(item *adminpb.ObjectItem) string {
	if o := item.GetObject(); o != nil {
		return fmt.Sprintf("%14d  %-20s  %s", o.GetSize(), instant(o.GetModified()), o.GetKey())
	}
	return fmt.Sprintf("%14s  %-20s  %s", unknown, unknown, item.GetPrefix())
}

// wideItemLine is itemLine with the version and the ETag.
func wideItemLine(item *adminpb.ObjectItem) string {
	version, etag := unknown, unknown
	if o := item.GetObject(); o != nil {
		version, etag = orDash(o.GetVersionId()), orDash(o.GetEtag())
	}
	line := itemLine(item)
	const fixed = 14 + 2 + 20 + 2 // up to the key
	return fmt.Sprintf("%s%-34s  %-36s  %s", line[:fixed], version, etag, line[fixed:])
}

func (a *app) objectShow() *cobra.Command {
	versions := false
	cmd := &cobra.Command{
		Use:     "show " + objectShape,
		Short:   "Show what is known of an object",
		Example: "isgwctl object show Hawaii/Cola/bk1/reports/2026.csv --versions",
		Args:    takes(objectShape),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			bucket, key, err := splitKey(args[0])
			if err != nil {
				return err
			}
			shown, err := c.Objects.Show(cmd.Context(), &adminpb.ShowObjectRequest{Bucket: bucket, Key: key, Versions: versions})
			if err != nil {
				return err
			}
			if err := a.show(shown, func(s *sheet) { writeObject(s, shown.GetObject()) }); err != nil || a.form != formTable && a.form != formWide || !versions {
				return err
			}
			fmt.Fprintln(a.out)
			header := []string{"VERSION", "GENERATION", "MODIFIED", "SIZE", "ORIGIN", "ETAG"}
			if a.form == formWide {
				header = append(header, "CONTENT")
			}
			t := a.table(header...)
			for _, v := range shown.GetVersions() {
				size := fmt.Sprint(v.GetSize())
				if v.GetDeleted() {
					size = "deleted"
				}
				row := []string{v.GetVersionId(), fmt.Sprint(v.GetGeneration()), instant(v.GetModified()), size, v.GetOrigin(), orDash(v.GetEtag())}
				if a.form == formWide {
					row = append(row, orDash(v.GetContentId()))
				}
				t.row(row...)
			}
			return t.end()
		}),
	}
	cmd.Flags().BoolVar(&versions, "versions", false, "with the history that is kept")
	return cmd
}

func writeObject(s *sheet, o *adminpb.Object) {
	s.line("bucket", o.GetBucket())
	s.line("key", o.GetKey())
	s.line("size", byteCount(o.GetSize()))
	s.line("etag", orDash(o.GetEtag()))
	s.line("modified", instant(o.GetModified()))
	s.line("version", orDash(o.GetVersionId()))
	s.line("generation", fmt.Sprint(o.GetGeneration()))
	s.line("origin", orDash(o.GetOrigin()))
	s.line("content", orDash(o.GetContentId()))
	for _, name := range sortedKeys(o.GetHeaders()) {
		s.line(plain(name), o.GetHeaders()[name])
	}
	for _, name := range sortedKeys(o.GetMetadata()) {
		s.line("metadata "+plain(name), o.GetMetadata()[name])
	}
}

func (a *app) objectPut() *cobra.Command {
	var contentType string
	var metadata []string
	cmd := &cobra.Command{
		Use:   "put " + objectShape + " FILE|-",
		Short: "Store a file, or what stdin has, as an object",
		Long: `Stores a file, or with - what stdin has until its end. The object is durable
when the command returns. An upload that breaks off leaves nothing.`,
		Example: "isgwctl object put Hawaii/Cola/bk1/reports/2026.csv 2026.csv\ntar c etc | isgwctl object put Hawaii/Cola/bk1/etc.tar -",
		Args:    takes(objectShape, "FILE|-"),
	}
	cmd.RunE = a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
		header := &adminpb.PutObjectHeader{}
		var err error
		if header.Bucket, header.Key, err = splitKey(args[0]); err != nil {
			return err
		}
		if header.Metadata, err = pairs(metadata); err != nil {
			return err
		}
		if contentType != "" {
			header.Headers = map[string]string{"content-type": contentType}
		}
		body := a.in
		if args[1] != "-" {
			file, size, err := openRegular(args[1])
			if err != nil {
				return err
			}
			defer file.Close()
			body, header.Size = file, size
		}
		body, meter := a.transferred(args[0], body, header.Size)
		object, err := c.Objects.Put(cmd.Context(), header, body)
		meter.stop()
		if err != nil {
			return err
		}
		return a.made(object, "%s is stored: size %s, etag %s", args[0], byteCount(object.GetSize()), object.GetEtag())
	})
	cmd.Flags().StringVar(&contentType, "content-type", "", "the object's content `TYPE`")
	cmd.Flags().StringArrayVar(&metadata, "metadata", nil, "user metadata, `NAME=VALUE`; may be given again")
	return cmd
}

// openRegular opens a file to be stored. Its size is nil when it has none to
// count on, as a pipe has none.
func openRegular(name string) (*os.File, *uint64, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, nil, fileError("open", name, err)
	}
	info, err := file.Stat()
	if err == nil && info.IsDir() {
		err = usage("%s is a directory", name)
	}
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return file, nil, nil
	}
	return file, new(uint64(info.Size())), nil
}

func (a *app) objectGet() *cobra.Command {
	return &cobra.Command{
		Use:   "get " + objectShape + " [FILE|-]",
		Short: "Read an object into a file, or to stdout",
		Long: `Writes an object to stdout, or into a file. The file appears under its name when
all of it has come; before that, and when the command fails, what was there
under that name is left as it was.`,
		Example: "isgwctl object get Hawaii/Cola/bk1/reports/2026.csv 2026.csv\nisgwctl object get Hawaii/Cola/bk1/etc.tar | tar t",
		Args:    takes(objectShape, "[FILE|-]"),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			bucket, key, err := splitKey(args[0])
			if err != nil {
				return err
			}
			object, body, err := c.Objects.Get(cmd.Context(), bucket, key)
			if err != nil {
				return err
			}
			defer body.Close()
			toOut := len(args) == 1 || args[1] == "-"
			if toOut && a.shows() { // where a bar would stand in the middle of the object
				_, err := io.Copy(a.out, body)
				return err
			}
			content, meter := a.transferred(args[0], body, new(object.GetSize()))
			if toOut {
				_, err = io.Copy(a.out, content)
			} else {
				err = writeFile(args[1], content)
			}
			meter.stop()
			if toOut || err != nil {
				return err
			}
			return a.made(object, "%s is in %s: size %s", args[0], args[1], byteCount(object.GetSize()))
		}),
	}
}

func (a *app) objectDelete() *cobra.Command {
	return &cobra.Command{
		Use:   "delete " + objectShape,
		Short: "Delete an object",
		Long: `Deletes an object without asking, as S3 does; the versions that the bucket keeps
stay. A key that is not there is no error.`,
		Example: "isgwctl object delete Hawaii/Cola/bk1/reports/2026.csv",
		Args:    takes(objectShape),
		RunE: a.run(func(cmd *cobra.Command, c *admin.Client, args []string) error {
			bucket, key, err := splitKey(args[0])
			if err != nil {
				return err
			}
			if err := c.Objects.Delete(cmd.Context(), bucket, key); err != nil {
				return err
			}
			return a.did(args[0], "%s is deleted", args[0])
		}),
	}
}
