package tui

import (
	"edgefog.dev/isgw/tui/screen"
)

// absentPage is a page of the root that is not there: it says so, and which
// command does its work.
type absentPage struct {
	m     *Model
	index int
}

var instead = map[int]string{
	pageBuckets:   "The screen of buckets is not there yet; isgwctl bucket list NAMESPACE/TENANT lists the buckets of a tenant.",
	pageCluster:   "The screen of the cluster is not there yet; isgwctl system status shows the node and its site.",
	pageSnapshots: "The screen of snapshots is not there yet, and there are no snapshots to make either.",
	pageEvents:    "The screen of events is not there yet; isgwctl admin audit lists who changed what, and a link's page what happened to it.",
	pageTasks:     "The screen of tasks is not there yet; isgwctl service show NAME -s shows a running copy.",
}

func (p absentPage) crumbs() []string    { return []string{pageNames[p.index]} }
func (p absentPage) refresh()            {}
func (p absentPage) bindings() []binding { return nil }

func (p absentPage) render(r screen.Rect) {
	prose(r, 1, 1, r.W-2, screen.Plain, instead[p.index])
}
