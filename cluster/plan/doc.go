// Package plan decides what a command changes: each function reads a site's
// config and returns the transaction that carries the command out, or a refusal
// with a sentence for the operator and what to do next. Nothing here writes,
// waits, or reads a clock or randomness it was not given, so a plan can be shown
// before it is carried out.
//
// A transaction is bound to what was read: it checks the revision of every
// object that it changes or removes, and that what it makes does not exist. When
// Apply answers [state.ErrConflict] the caller plans again from the config as it
// is then. Rules that hold for the config as a whole (parents exist, a path is
// on one link to a site only) are enforced by Apply; plans look for them too,
// because they can say more about them.
//
// Functions that may find nothing to do say so; they return a nil transaction,
// which the caller does not propose.
package plan
