package manifest

import (
	"fmt"
	"strings"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

// Kind is the kind of the manifests of links.
const Kind = "ISGW"

// apiVersion is what manifests are written with; apiVersions are read.
const apiVersion = "edgefs.rook.io/v1"

var apiVersions = []string{apiVersion, "edgefs.rook.io/v1beta1", "edgefs.rook.io/v1alpha1"}

// Bounds of what is read.
const (
	MaxSize      = 1 << 20 // bytes of a file
	MaxDocuments = 1000    // links in a file; a node takes as many in one plan
	maxFaults    = 20      // that are told of a file
)

// Position is a place in a file. Lines and columns count from 1; a column of 0
// is not known.
type Position struct {
	File         string
	Line, Column int
}

// String is the place as compilers write it: FILE:LINE:COLUMN.
func (p Position) String() string {
	if p.Column == 0 {
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Fault is something in a file that is not as it must be.
type Fault struct {
	Position
	Message string // one sentence, no full stop
}

// Error returns the place and the sentence.
func (f Fault) Error() string { return f.Position.String() + ": " + f.Message }

// Faults are all that was found in a file, in its order; at least one.
type Faults []Fault

// Error returns all of them, a line each.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Document is what a manifest says of one link, and where it begins to.
type Document struct {
	// Service has what the manifest sets, and not what it leaves out.
	Service *adminpb.PlanApplyService
	Position
}

// Name is the link's.
func (d *Document) Name() string { return d.Service.GetSettings().GetName() }
