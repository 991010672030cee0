// Command bench measures isgw as its users meet it: real isgwnode processes,
// real S3 requests, links whose bytes are counted outside of the program, and
// the same work done by rsync and by a plain copy in the same run.
//
//	go run ./testenv/bench                      # everything, some 35 minutes
//	go run ./testenv/bench -run s3,small -runs 1
//	go run ./testenv/bench -scale 0.01 -runs 1  # whether it works, in seconds
//
// What it prints is a table with the median and the spread of every figure and
// what it is compared with; -json and -doc write the same for machines and for
// the documentation. docs/performance.md says how each workload is measured.
package main
