package testenv

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"edgefog.dev/isgw/chunks"
	"edgefog.dev/isgw/chunks/manifest"
	"edgefog.dev/isgw/chunks/store"
	"edgefog.dev/isgw/cluster/identity"
	"edgefog.dev/isgw/cluster/objects"
	"edgefog.dev/isgw/raftfsm"
	"edgefog.dev/isgw/raftfsm/catalog"
	"edgefog.dev/isgw/raftfsm/catalog/catalogpb"
	"edgefog.dev/isgw/raftfsm/state"
)

var errSynced = errors.New("in sync")

// check lets every link drain, stops every site and looks into its data
// directory, as nobody else has it open:
//
//   - linked buckets are equal at both sites,
//   - every chunk of every version that is kept is there and intact,
//   - every record at or below a cursor is applied, superseded, covered, or
//     pending by name.
func (e *Env) check() {
	for _, s := range e.sites {
		if !s.Running() {
			s.Resume()
		}
	}
	for _, l := range e.links {
		l.Restore()
		l.Slow(0)
	}
	for _, l := range e.links {
		l.WaitSynced()
	}
	stores := map[*Site]*offline{}
	for _, s := range e.sites {
		s.Stop()
		o, err := openOffline(s)
		if err != nil {
			e.t.Errorf("open site %s after the test: %v", s.Name, err)
			return
		}
		defer o.close()
		stores[s] = o
		for _, problem := range o.damaged() {
			e.t.Errorf("site %s: %s", s.Name, problem)
		}
	}
	for _, l := range e.links {
		for _, problem := range compare(l, stores[l.Sites[0]], stores[l.Sites[1]]) {
			e.t.Errorf("link %s: %s", l.Name, problem)
		}
	}
}

// offline is a site's data with no node running.
type offline struct {
	id      state.SiteID
	replica *raftfsm.Replica
	chunks  *store.Store
}

func openOffline(s *Site) (*offline, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	node, err := identity.OpenNode(s.options.Dir, identity.NodeOptions{SiteName: s.options.Site})
	if err != nil {
		return nil, err
	}
	o := &offline{}
	o.id, _ = node.Site()
	if o.replica, err = raftfsm.Open(ctx, raftfsm.Options{Dir: filepath.Join(s.options.Dir, "raft"), NodeID: node.ID()}); err != nil {
		return nil, err
	}
	codec, err := chunks.NewCodec()
	if err != nil {
		return nil, errors.Join(err, o.close())
	}
	if o.chunks, err = store.Open(ctx, store.Options{Dir: filepath.Join(s.options.Dir, "chunks"), Codec: codec}); err != nil {
		return nil, errors.Join(err, o.close())
	}
	for {
		err := o.replica.Barrier(ctx) // everything in the log is applied after it
		if err == nil {
			return o, nil
		}
		if !errors.Is(err, raftfsm.ErrNotLeader) || ctx.Err() != nil {
			return nil, errors.Join(err, o.close())
		}
		pause(10 * time.Millisecond)
	}
}

func (o *offline) close() error {
	var errs []error
	if o.chunks != nil {
		errs = append(errs, o.chunks.Close())
	}
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	return errors.Join(append(errs, o.replica.Close(ctx))...)
}

// records calls fn with every record that is kept of a bucket.
func (o *offline) records(bucket string, fn func(*catalogpb.Record)) error {
	for from := []byte(nil); ; {
		page, err := o.replica.Catalog().ScanKeys(bucket, from, 0)
		if err != nil {
			return err
		}
		for _, r := range page.Records {
			fn(r)
		}
		if page.Done {
			return nil
		}
		from = page.NextKey
	}
}

// damaged reads every chunk of every version.
func (o *offline) damaged() []string {
	var problems []string
	read := map[chunks.ID]bool{}
	var buf chunks.Buffer
	ctx := context.Background()
	get := func(ctx context.Context, id chunks.ID, b *chunks.Buffer) error { return o.chunks.Get(ctx, id, b) }
	for _, bucket := range o.replica.Catalog().Buckets() {
		path := bucket.GetPath()
		err := o.records(path, func(r *catalogpb.Record) {
			ref, err := objects.RootRef(r.GetRoot())
			if err == nil {
				err = manifest.Leaves(ctx, get, ref, 0, ref.Size, func(l manifest.Leaf) error {
					if read[l.ID] {
						return nil
					}
					read[l.ID] = true
					return o.chunks.Get(ctx, l.ID, &buf)
				})
			}
			if err != nil {
				problems = append(problems, fmt.Sprintf("%s/%s is not whole: %v", path, r.GetKey(), err))
			}
		})
		if err != nil {
			problems = append(problems, fmt.Sprintf("read catalog of %s: %v", path, err))
		}
	}
	return problems
}

// buckets are the buckets that a link serves and that exist at either side.
func (l *Link) buckets(ends ...*offline) []string {
	found := map[string]bool{}
	for _, o := range ends {
		for _, b := range o.replica.Catalog().Buckets() {
			for _, served := range l.Buckets {
				if b.GetPath() == served || strings.HasPrefix(b.GetPath(), served+"/") {
					found[b.GetPath()] = true
				}
			}
		}
	}
	var out []string
	for path := range found {
		out = append(out, path)
	}
	return out
}

// compare lists how two ends of a link differ.
func compare(l *Link, a, b *offline) []string {
	var problems []string
	for _, path := range l.buckets(a, b) {
		heads := func(o *offline) map[string]*catalogpb.Record {
			out := map[string]*catalogpb.Record{}
			err := o.records(path, func(r *catalogpb.Record) {
				key := string(r.GetKey())
				if out[key] == nil { // the records of a key come greatest first
					out[key] = r
				}
			})
			if err != nil {
				problems = append(problems, fmt.Sprintf("read %s: %v", path, err))
			}
			for key, r := range out {
				if !catalog.Live(r) {
					delete(out, key)
				}
			}
			return out
		}
		at, bt := heads(a), heads(b)
		for key, r := range at {
			switch other := bt[key]; {
			case other == nil:
				problems = append(problems, fmt.Sprintf("%s/%s is at %s only", path, key, l.Sites[0].Name))
			case !proto.Equal(r, other):
				problems = append(problems, fmt.Sprintf("%s/%s differs: %v and %v", path, key, r, other))
			}
		}
		for key := range bt {
			if at[key] == nil {
				problems = append(problems, fmt.Sprintf("%s/%s is at %s only", path, key, l.Sites[1].Name))
			}
		}
		problems = append(problems, forgotten(path, a, b)...)
		problems = append(problems, forgotten(path, b, a)...)
	}
	return problems
}

// forgotten lists the records of a sender's log at or below the receiver's
// cursor that the receiver neither has, nor has dropped, nor keeps as pending.
func forgotten(path string, sender, receiver *offline) []string {
	cursor, err := receiver.replica.Catalog().Cursor(path, sender.id)
	if err != nil {
		return []string{fmt.Sprintf("cursor of %s: %v", path, err)}
	}
	pending := map[string]bool{}
	list, err := receiver.replica.Catalog().Pending(path, sender.id, nil, catalog.MaxPage)
	if err != nil {
		return []string{fmt.Sprintf("pending records of %s: %v", path, err)}
	}
	for _, p := range list {
		pending[p.GetRecord().GetDot().String()] = true
	}
	var problems []string
	bucket, err := sender.replica.Catalog().Bucket(path)
	if err != nil {
		return []string{fmt.Sprintf("log of %s: %v", path, err)}
	}
	for after := bucket.GetTrimmed(); ; {
		page, err := sender.replica.Catalog().Log(path, after, 0)
		if err != nil {
			return append(problems, fmt.Sprintf("log of %s: %v", path, err))
		}
		var records []*catalogpb.Record
		for _, entry := range page.Entries {
			if entry.Seq <= cursor.GetSeq() && entry.Record != nil && !pending[entry.Record.GetDot().String()] {
				records = append(records, entry.Record)
			}
		}
		verdicts, why, err := receiver.replica.Catalog().Decide(path, records)
		if err != nil {
			return append(problems, fmt.Sprintf("judge log of %s: %v", path, err))
		}
		for i, v := range verdicts {
			if v == catalog.Apply || v == catalog.Invalid {
				problems = append(problems, fmt.Sprintf("%s/%s (%v) is below the cursor and was forgotten: %v %s",
					path, records[i].GetKey(), records[i].GetDot(), v, why[i]))
			}
		}
		if page.AtEnd {
			return problems
		}
		after = page.To
	}
}
