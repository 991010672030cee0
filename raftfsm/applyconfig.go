package raftfsm

import (
	"encoding/binary"
	"errors"
	"fmt"

	"edgefog.dev/isgw/raftfsm/raftfsmpb"
	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// applyConfig carries out a config transaction and what follows from it in the
// catalog: all of it, or nothing when either refuses.
func (tx *applyTx) applyConfig(txn *statepb.Txn, now int64) (*raftfsmpb.Result, error) {
	if err := tx.config.Check(txn); err != nil {
		return refusal(err), nil
	}
	for _, key := range txn.GetDeletes() {
		if key.GetKind() == statepb.Kind_KIND_BUCKET {
			if res := tx.catalog.CheckDeleteBucket(key.GetName()); res.GetCode() != raftfsmpb.Code_OK {
				return res, nil
			}
		}
	}
	before := map[string]*statepb.Tenant{} // the tenants that are put
	for _, object := range txn.GetPuts() {
		if t := object.GetTenant(); t != nil {
			old, _, _ := tx.config.Tenant(t.GetPath())
			before[t.GetPath()] = old
		}
	}

	// From here on nothing is refused; what fails is a fault of this node.
	revision := tx.config.Revision() + 1
	changes, err := tx.config.Apply(txn, revision)
	if err != nil {
		return nil, fmt.Errorf("change config: %w", err)
	}
	for _, change := range changes {
		if change.Stored == nil {
			err = tx.batch.Delete(configKey(change.Key), nil)
		} else {
			err = tx.put(configKey(change.Key), change.Stored)
		}
		if err == nil {
			err = tx.follow(change, before, now)
		}
		if err != nil {
			return nil, fmt.Errorf("change config: %s: %w", change.Key, err)
		}
	}
	if err := tx.batch.Set(keyRevision, binary.BigEndian.AppendUint64(nil, revision), nil); err != nil {
		return nil, fmt.Errorf("change config: %w", err)
	}
	return &raftfsmpb.Result{Revision: revision}, nil
}

// follow changes the catalog after the config. before holds the tenants of the
// transaction as they were; nil for a new one.
func (tx *applyTx) follow(change state.Change, before map[string]*statepb.Tenant, now int64) error {
	object := change.Stored.GetObject()
	switch change.Key.Kind {
	case statepb.Kind_KIND_SITE:
		tx.setSelf()
	case statepb.Kind_KIND_TENANT:
		was, is := before[change.Key.Name], object.GetTenant()
		if object == nil || is.GetVersions() == was.GetVersions() && is.GetQuota() == was.GetQuota() {
			return nil
		}
		for _, bucket := range tx.config.Buckets(change.Key.Name) {
			if err := tx.putBucket(bucket, now); err != nil {
				return err
			}
		}
	case statepb.Kind_KIND_BUCKET:
		if object == nil {
			return mustApply(tx.catalog.DeleteBucket(change.Key.Name))
		}
		return tx.putBucket(object.GetBucket(), now)
	}
	return nil
}

// putBucket gives the catalog a bucket as the config has it. What the catalog
// needs of the config is copied, because applying other commands reads the
// catalog alone.
func (tx *applyTx) putBucket(bucket *statepb.Bucket, now int64) error {
	path, err := state.ParsePath(bucket.GetPath())
	if err != nil {
		return err
	}
	tenant, _, _ := tx.config.Tenant(path.Parent().String())
	versions := bucket.GetVersions() // 0: nobody has set a number
	if versions == 0 {
		versions = tenant.GetVersions()
	}
	if err := mustApply(tx.catalog.PutBucket(bucket, versions, now)); err != nil {
		return err
	}
	return mustApply(tx.catalog.LimitTenant(bucket.GetPath(), tenant.GetQuota()))
}

// mustApply turns a refusal where none is possible into a fault.
func mustApply(res *raftfsmpb.Result) error {
	if res.GetCode() == raftfsmpb.Code_OK {
		return nil
	}
	return errors.New("catalog and config disagree: " + res.GetMessage())
}

// knownCommand says whether this program knows all of a command that could
// change what it does.
func knownCommand(cmd *raftfsmpb.Command) bool {
	if len(cmd.ProtoReflect().GetUnknown()) > 0 {
		return false
	}
	txn := cmd.GetConfig()
	if txn == nil {
		return true
	}
	if len(txn.ProtoReflect().GetUnknown()) > 0 {
		return false
	}
	for _, object := range txn.GetPuts() {
		if len(object.ProtoReflect().GetUnknown()) > 0 { // an object of a newer kind
			return false
		}
	}
	for _, key := range txn.GetDeletes() {
		if !knownKind(key) {
			return false
		}
	}
	for _, check := range txn.GetChecks() {
		if !knownKind(check.GetKey()) {
			return false
		}
	}
	return true
}

func knownKind(key *statepb.ObjectKey) bool {
	_, ok := statepb.Kind_name[int32(key.GetKind())]
	return ok
}
