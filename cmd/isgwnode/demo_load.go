package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"edgefog.dev/isgw/cluster/admin"
	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/cluster/buildinfo"
	"edgefog.dev/isgw/tui"
)

// workers is the number of S3 requests under way at once.
const workers = 8

// upload puts every regular file of the source below its path into the first
// site: Go tests into Pepsi's bucket, all else into Cola's.
func (d *demo) upload(ctx context.Context, counted func(bytes int64)) error {
	type file struct{ path, key string }
	files := make(chan file, 2*workers)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(files)
		return filepath.WalkDir(d.source, func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if !entry.Type().IsRegular() {
				return nil
			}
			key, err := filepath.Rel(d.source, path)
			if err != nil {
				return err
			}
			select {
			case files <- file{path, filepath.ToSlash(key)}:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
	for range workers {
		group.Go(func() error {
			for f := range files {
				info, err := d.first.client[tenantOf(f.key)].FPutObject(ctx, demoBucket, f.key, f.path, minio.PutObjectOptions{})
				if err != nil {
					return fmt.Errorf("upload %s: %w", f.path, err)
				}
				counted(info.Size)
			}
			return nil
		})
	}
	return group.Wait()
}

func tenantOf(key string) string {
	if strings.HasSuffix(key, "_test.go") {
		return demoTenants[1]
	}
	return demoTenants[0]
}

// once is the demo that ends: upload, wait, compare.
func (d *demo) once(ctx context.Context) error {
	began := time.Now()
	var files, size atomic.Int64
	if err := d.upload(ctx, func(n int64) { files.Add(1); size.Add(n) }); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "uploaded %s files, %s, in %.1f s\n", humanize.Comma(files.Load()), humanize.IBytes(uint64(size.Load())), time.Since(began).Seconds())
	began = time.Now()
	if err := d.waitSynced(ctx); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "in sync %.1f s later\n", time.Since(began).Seconds())
	began = time.Now()
	compared, err := d.compare(ctx)
	if err != nil {
		return err
	}
	if compared.objects != files.Load() {
		return fmt.Errorf("%d files were uploaded and %d objects are there", files.Load(), compared.objects)
	}
	service, err := d.second.admin.Services.Get(ctx, demoLink, true)
	if err != nil {
		return err
	}
	received := service.GetStatus().GetReceive()
	fmt.Fprintf(d.out, "compared every byte at both sites in %.1f s\n", time.Since(began).Seconds())
	fmt.Fprintf(d.out, "equal: %s objects, %s logical, %s on the wire to %s, %s back\n",
		humanize.Comma(compared.objects), humanize.IBytes(uint64(compared.bytes)),
		humanize.IBytes(received.GetWireBytes()), d.second.name,
		humanize.IBytes(service.GetStatus().GetSend().GetWireBytes()))
	return nil
}

type comparison struct{ objects, bytes int64 }

// compare reads every object at both sites, and its file, and compares them.
func (d *demo) compare(ctx context.Context) (comparison, error) {
	var total comparison
	for _, tenant := range demoTenants {
		var objects, size atomic.Int64
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(workers)
		listed := map[string]int{} // key: the sites that list it
		for i, s := range d.sites() {
			for object := range s.client[tenant].ListObjects(ctx, demoBucket, minio.ListObjectsOptions{Recursive: true}) {
				if object.Err != nil {
					return total, errors.Join(fmt.Errorf("list at %s: %w", s.name, object.Err), group.Wait())
				}
				listed[object.Key] |= 1 << i
			}
		}
		for key, at := range listed {
			if at != 3 {
				return total, errors.Join(fmt.Errorf("%s/%s is at one site only", tenant, key), group.Wait())
			}
			group.Go(func() error {
				want, err := os.ReadFile(filepath.Join(d.source, filepath.FromSlash(key)))
				if err != nil {
					return err
				}
				for _, s := range d.sites() {
					got, err := s.get(ctx, tenant, key)
					if err != nil {
						return fmt.Errorf("read %s/%s at %s: %w", tenant, key, s.name, err)
					}
					if !bytes.Equal(got, want) {
						return fmt.Errorf("%s/%s differs at %s", tenant, key, s.name)
					}
				}
				objects.Add(1)
				size.Add(int64(len(want)))
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return total, err
		}
		total.objects += objects.Load()
		total.bytes += size.Load()
	}
	return total, nil
}

func (s *demoSite) get(ctx context.Context, tenant, key string) ([]byte, error) {
	object, err := s.client[tenant].GetObject(ctx, demoBucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, err
	}
	defer object.Close()
	return io.ReadAll(object)
}

// forever uploads, then changes objects at both sites until it is interrupted,
// printing a line each second, or until the console is left.
func (d *demo) forever(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if !d.console {
			return d.report(ctx)
		}
		defer cancel()
		return d.open(ctx)
	})
	group.Go(func() error {
		if err := d.upload(ctx, func(int64) {}); err != nil {
			return err
		}
		for _, s := range d.sites() {
			group.Go(func() error { return d.change(ctx, s) })
		}
		return nil
	})
	err := group.Wait()
	if d.console && errors.Is(err, context.Canceled) {
		return nil // the console was left while objects were on their way
	}
	return err
}

// open opens the console on the first site; the second is its other profile.
func (d *demo) open(ctx context.Context) (err error) {
	d.log.hold()
	defer func() { err = errors.Join(err, d.log.release()) }()
	options := tui.Options{
		Connect: true,
		Dial: func(e tui.Endpoint) (tui.Node, error) {
			client, err := admin.Dial(e.Target)
			if err != nil {
				return nil, err
			}
			return tui.NewNode(client), nil
		},
		Theme:   "auto",
		Getenv:  os.Getenv,
		Version: buildinfo.Read().Version,
	}
	for _, s := range d.sites() {
		options.Profiles = append(options.Profiles, tui.Profile{
			Name: s.name, Endpoints: []tui.Endpoint{{Name: s.name, Target: "unix:" + s.node.Socket()}},
		})
	}
	return tui.Run(ctx, os.Stdin, os.Stdout, options)
}

// change writes, overwrites and deletes objects of its own at a site.
func (d *demo) change(ctx context.Context, s *demoSite) error {
	random := rand.New(rand.NewPCG(uint64(len(s.name)), uint64(s.name[0])))
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	content := make([]byte, 64<<10)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		client := s.client[demoTenants[random.IntN(len(demoTenants))]]
		key := fmt.Sprintf("changes/%s/%03d", s.name, random.IntN(500))
		if random.IntN(5) == 0 {
			if err := client.RemoveObject(ctx, demoBucket, key, minio.RemoveObjectOptions{}); err != nil {
				return fmt.Errorf("delete at %s: %w", s.name, err)
			}
			continue
		}
		for i := range content {
			content[i] = byte(random.Uint32())
		}
		size := int64(1 + random.IntN(len(content)))
		if _, err := client.PutObject(ctx, demoBucket, key, bytes.NewReader(content[:size]), size, minio.PutObjectOptions{}); err != nil {
			// The second site's buckets appear when the link has made them.
			if minio.ToErrorResponse(err).Code == "NoSuchBucket" {
				continue
			}
			return fmt.Errorf("write at %s: %w", s.name, err)
		}
	}
}

// report prints a line each second.
func (d *demo) report(ctx context.Context) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for n := 0; ; n++ {
		if n%20 == 0 {
			fmt.Fprintf(d.out, "\n%-9s%-31s%-31s%-29s%s\n", "", d.first.name, d.second.name,
				d.first.name+" → "+d.second.name, d.second.name+" → "+d.first.name)
			fmt.Fprintf(d.out, "%-9s%9s %10s %9s  %9s %10s %9s  %8s %10s %7s  %8s %10s %7s\n", "time",
				"objects", "logical", "state", "objects", "logical", "state", "wire", "rate", "lag", "wire", "rate", "lag")
		}
		if err := d.line(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// line prints the state of both sites; each direction as its receiver knows it.
func (d *demo) line(ctx context.Context) error {
	var left, right strings.Builder
	for _, s := range d.sites() {
		status, err := s.admin.System.Status(ctx)
		if err != nil {
			return err
		}
		service, err := s.admin.Services.Get(ctx, demoLink, true)
		if err != nil {
			return err
		}
		storage := status.GetStorage()
		fmt.Fprintf(&left, "%9s %10s %9s  ", humanize.Comma(int64(storage.GetObjects())), humanize.IBytes(storage.GetLogicalBytes()), stateWord(service))
		in := service.GetStatus().GetReceive()
		lag := "?"
		if b := in.GetBacklog(); b.LagSeconds != nil {
			lag = fmt.Sprintf("%.1f s", b.GetLagSeconds())
		}
		// What the second site receives is the first's direction.
		text := fmt.Sprintf("%8s %8s/s %7s", humanize.IBytes(in.GetWireBytes()), humanize.IBytes(uint64(in.GetThroughput())), lag)
		if s == d.second {
			text += "  " + right.String()
			right.Reset()
		}
		right.WriteString(text)
	}
	_, err := fmt.Fprintf(d.out, "%-9s%s%s\n", time.Now().Format(time.TimeOnly), left.String(), right.String())
	return err
}

func stateWord(s *adminpb.Service) string {
	return strings.ToLower(strings.TrimPrefix(s.GetStatus().GetState().String(), "SERVICE_STATE_"))
}
