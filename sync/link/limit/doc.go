// Package limit paces what crosses a link in one direction.
//
// A Limiter admits bytes at a rate that may change with the time of day, with
// the config, and with what the site at the other end asks for: the lower of
// both sites' rates holds. Content waits for its turn; what a link needs for its
// own upkeep does not wait, and small messages of it are not counted.
//
// The rule is that of a debt: whatever is admitted is owed at once and paid off at
// the rate, and nothing is admitted while anything is owed. So over any span of
// time no more is admitted than the rate allows, one admission, and what the rate
// gives in 50 ms, whatever the size of what is admitted; and timers that fire
// late cost no throughput up to that. It is the algorithm known as the leaky
// bucket as a meter (ITU-T I.371, annex A), with the bucket's depth as credit.
package limit
