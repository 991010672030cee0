//go:build race

package chunks

// raceEnabled says that pools drop what they hold at random, so that
// allocations cannot be counted.
const raceEnabled = true
