package raftfsm

import (
	"encoding/binary"
	"fmt"

	"edgefog.dev/isgw/raftfsm/state"
	"edgefog.dev/isgw/raftfsm/state/statepb"
)

// Keys of the state database that are not the catalog's; docs/format-raft.md
// describes them. Numbers are big-endian, so that keys sort by them.
//
//	m f                  format version, 4 bytes
//	m a                  index and term of the last applied entry, 8 bytes each
//	m r                  revision of the config, 8 bytes
//	m s NUMBER           a proposer's session, raftfsmpb.Session
//	m w NUMBER SLOT      results of one of its last entries, raftfsmpb.Results
//	c KIND NAME          a config object, statepb.Stored
var (
	keyFormat   = []byte("mf")
	keyApplied  = []byte("ma")
	keyRevision = []byte("mr")
	keySessions = []byte("ms")
	keyWindows  = []byte("mw")
	keyConfig   = []byte("c")
)

// formatVersion is the version of the layout of the whole state database.
const formatVersion = 1

func sessionKey(number uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte(nil), keySessions...), number)
}

// windowKey is where the results of an entry of a session are remembered; an
// entry takes the place of the one sessionWindow before it.
func windowKey(session, number uint64) []byte {
	key := binary.BigEndian.AppendUint64(append([]byte(nil), keyWindows...), session)
	return append(key, byte(number%sessionWindow))
}

// windowRange spans all window keys of a session.
func windowRange(session uint64) (from, to []byte) {
	from = binary.BigEndian.AppendUint64(append([]byte(nil), keyWindows...), session)
	return from, append(append([]byte(nil), from...), 0xff)
}

func configKey(key state.Key) []byte {
	return append(append(append([]byte(nil), keyConfig...), byte(key.Kind)), key.Name...)
}

// A kind is one byte of a key.
var _ [255 - statepb.Kind_KIND_APPLIED]struct{}

// after is the smallest key above all keys that begin with a prefix; the last
// byte of the prefix must not be 0xff.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	end[len(end)-1]++
	return end
}

func encodeApplied(index, term uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, index), term)
}

func decodeApplied(raw []byte) (index, term uint64, err error) {
	if len(raw) != 16 {
		return 0, 0, fmt.Errorf("decode applied index: %d bytes, not 16", len(raw))
	}
	return binary.BigEndian.Uint64(raw), binary.BigEndian.Uint64(raw[8:]), nil
}
