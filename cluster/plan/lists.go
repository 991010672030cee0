package plan

import (
	"cmp"
	"slices"
	"strings"

	"edgefog.dev/isgw/cluster/admin/adminpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// Sizes tells what a bucket holds: the objects and the bytes of its heads.
type Sizes func(path string) (objects, bytes uint64, ok bool)

// ListPaths is a page of the namespaces, tenants or buckets: those below a
// parent that contain the filter, in the order that was asked for. sizes is
// needed only to order buckets by what they hold.
func ListPaths(cfg *state.Config, req *adminpb.ListPathsRequest, sizes Sizes) (*adminpb.ListPathsResponse, error) {
	word, _, depth := kindWord(req.GetKind())
	if depth == 0 {
		return nil, invalid("the request does not say whether to list clusters, tenants or buckets")
	}
	if parent := req.GetParent(); parent != "" {
		p, err := state.ParsePath(parent)
		if err != nil {
			return nil, adopt(err)
		}
		if p.Depth() >= depth {
			return nil, invalid("there is no %s below %s", word, parent)
		}
		if err := PathExists(cfg, p); err != nil {
			return nil, err
		}
	}
	names := listed(cfg, depth, req.GetParent())
	res := &adminpb.ListPathsResponse{Total: uint64(len(names))}
	if has := filter(req.GetFilter()); has != nil {
		names = slices.DeleteFunc(names, func(n pathRow) bool { return !has(n.path) })
	}
	res.Matched = uint64(len(names))
	if err := order(names, req, depth, sizes); err != nil {
		return nil, err
	}
	if after := req.GetAfter(); after != "" {
		i, found := slices.BinarySearchFunc(names, after, func(n pathRow, after string) int { return strings.Compare(n.path, after) })
		if found {
			i++
		}
		names = names[i:]
	}
	names = names[min(uint64(req.GetOffset()), uint64(len(names))):]
	limit := PageLimit(req.GetLimit())
	res.More = len(names) > limit
	for _, n := range names[:min(len(names), limit)] {
		if path, ok := describe(cfg, depth, n.path); ok {
			res.Paths = append(res.Paths, path)
		}
	}
	return res, nil
}

// pathRow is one of the paths that a list is made of, with what it may be
// ordered by.
type pathRow struct {
	path           string
	created        int64
	objects, bytes uint64
}

// listed are the paths of a depth below a parent, ordered by path.
func listed(cfg *state.Config, depth int, parent string) []pathRow {
	var rows []pathRow
	switch depth {
	case 1:
		for _, n := range cfg.Namespaces() {
			rows = append(rows, pathRow{path: n.GetName(), created: n.GetCreated()})
		}
	case 2:
		for _, t := range cfg.Tenants(parent) {
			rows = append(rows, pathRow{path: t.GetPath(), created: t.GetCreated()})
		}
	case 3:
		buckets := cfg.Buckets(parent)
		rows = make([]pathRow, len(buckets))
		for i, b := range buckets {
			rows[i] = pathRow{path: b.GetPath(), created: b.GetCreated()}
		}
	}
	return rows
}

// order sorts rows, which come ordered by path, as a request wants them.
func order(rows []pathRow, req *adminpb.ListPathsRequest, depth int, sizes Sizes) error {
	by := req.GetSort()
	plain := by == adminpb.PathSort_PATH_SORT_UNSPECIFIED || by == adminpb.PathSort_PATH_SORT_PATH
	if req.GetAfter() != "" && (!plain || req.GetDescending()) {
		return invalid("a list that is not in the order of its paths cannot go on after one of them").next("use an offset")
	}
	var key func(pathRow) uint64
	switch by {
	case adminpb.PathSort_PATH_SORT_OBJECTS:
		key = func(r pathRow) uint64 { return r.objects }
	case adminpb.PathSort_PATH_SORT_BYTES:
		key = func(r pathRow) uint64 { return r.bytes }
	case adminpb.PathSort_PATH_SORT_CREATED:
		key = func(r pathRow) uint64 { return uint64(max(r.created, 0)) }
	default:
		if !plain {
			return invalid("there is no order %d of paths", by)
		}
		if req.GetDescending() {
			slices.Reverse(rows)
		}
		return nil
	}
	if by != adminpb.PathSort_PATH_SORT_CREATED {
		if depth != 3 || sizes == nil {
			return invalid("only buckets are ordered by what they hold")
		}
		for i := range rows {
			rows[i].objects, rows[i].bytes, _ = sizes(rows[i].path) // one that is being deleted holds nothing
		}
	}
	sign := 1
	if req.GetDescending() {
		sign = -1
	}
	slices.SortStableFunc(rows, func(a, b pathRow) int { return sign * cmp.Compare(key(a), key(b)) })
	return nil
}

// filter says of texts whether they contain words that somebody looks for, in
// letters of either case; nil when there is nothing to look for.
func filter(words string) func(string) bool {
	words = strings.ToLower(strings.TrimSpace(words))
	if words == "" {
		return nil
	}
	return func(text string) bool { return strings.Contains(strings.ToLower(text), words) }
}

// ListServices is a page of the services, ordered by name, without their
// status: those that have the filter in their name, their remote, the name of
// their peer or a path that they serve.
func ListServices(cfg *state.Config, req *adminpb.ListServicesRequest) *adminpb.ListServicesResponse {
	all := cfg.Services()
	whole := slices.Clone(all)
	res := &adminpb.ListServicesResponse{Total: uint64(len(all))}
	if has := filter(req.GetFilter()); has != nil {
		all = slices.DeleteFunc(all, func(s *statepb.Service) bool { return !serviceHas(cfg, s, has) })
	}
	res.Matched = uint64(len(all))
	if after := req.GetAfter(); after != "" {
		i, found := slices.BinarySearchFunc(all, after, func(s *statepb.Service, after string) int { return strings.Compare(s.GetName(), after) })
		if found {
			i++
		}
		all = all[i:]
	}
	all = all[min(uint64(req.GetOffset()), uint64(len(all))):]
	if limit := req.GetLimit(); limit > 0 && len(all) > PageLimit(limit) {
		all, res.More = all[:PageLimit(limit)], true
	}
	for _, s := range all {
		res.Services = append(res.Services, describeService(cfg, s, whole))
	}
	return res
}

// serviceHas says whether a service has what somebody looks for.
func serviceHas(cfg *state.Config, s *statepb.Service, has func(string) bool) bool {
	if has(s.GetName()) || has(s.GetRemote()) {
		return true
	}
	if peer, err := state.SiteIDFromBytes(s.GetPeer()); err == nil && has(SiteName(cfg, peer)) {
		return true
	}
	return slices.ContainsFunc(s.GetServes(), func(served *statepb.Served) bool { return has(served.GetPath()) })
}

// AllServices describes every service, ordered by name, without its status.
func AllServices(cfg *state.Config) []*adminpb.Service {
	return ListServices(cfg, &adminpb.ListServicesRequest{}).GetServices()
}
