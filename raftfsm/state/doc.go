// Package state holds a site's config as plain values and the rules that keep
// it whole: the site itself, its nodes, the sites it is paired with, open
// invitations, namespaces, tenants, buckets, access keys and services.
//
// A [Config] changes only by [Config.Apply], a deterministic function of the
// config and of one transaction: the same transactions in the same order give
// the same config, and the same refusals, on every node. Nothing here reads a
// clock, a random source or the environment, and nothing here knows raft.
//
// Each object carries the config revision that wrote it. Revisions count
// accepted transactions; they are no raft indexes, so a plan that was made from
// some objects stays valid while objects it did not read change.
package state
