// Package tui is the console: what isgwctl opens on a terminal. It knows the
// site only through the admin API of one of its nodes.
//
// There is one [Model]. Its Update does no I/O: a command works on what it was
// given and answers with a message that carries the generation of its request,
// so that what arrives too late is dropped. A page is a plain struct that draws
// itself into a rectangle. Every change of the site goes through a plan that
// the node computed and the operator saw; the guard around the node is the one
// place where read-only mode is enforced. What a key does is written once, as a
// binding: footer, help and palette are made from it.
package tui
