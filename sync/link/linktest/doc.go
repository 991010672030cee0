// Package linktest holds the conformance suite that every transport of a link
// passes: a Source seen through it behaves as the Source itself does.
package linktest
