// Package cdc splits content into chunks at cut points that the content itself
// determines, so that an insertion moves no cut point but those near it.
//
// The method is FastCDC (Xia et al., USENIX ATC 2016) with a gear hash of 64
// bits, hence over a window of 64 bytes, and normalised chunking of level 2:
// a cut needs 18 leading zero bits of the hash before AvgSize and 14 after it.
// A chunk has more than MinSize bytes, unless it is the content's last, and at
// most MaxSize. On random content the mean is about 76 KiB.
//
// The parameters and the gear table are constants of isgw's protocol: two sites
// that split differently would share nothing. They are frozen by the golden cut
// points of this package's tests and described in docs/format-chunks.md.
//
// A cut forgets everything before it: a chunk's length is a function of the
// bytes from its first on. Whoever knows one cut point of a content can split
// from there, and finds the same chunks as who began at its start.
package cdc
