package ccow

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// An empty message within a message takes two bytes on the wire and a hundred
// and more in memory. Real ones hold names, dots and hashes; a long message has
// to look like that before it is decoded.
const (
	shapeFrom  = 16 << 10 // shorter messages are not looked at
	shapeBytes = 16       // of a message there must be for each message in it
	shapeSpare = 1024     // messages that may be there in any case
	shapeDepth = 16
)

// checkShape refuses a message that would take far more memory than bytes.
func checkShape(payload []byte, m proto.Message) error {
	if len(payload) < shapeFrom {
		return nil
	}
	budget := shapeSpare + len(payload)/shapeBytes
	if !countMessages(payload, m.ProtoReflect().Descriptor(), &budget, shapeDepth) {
		return protocolErrorf("a %s of %d bytes made of too many or too deep messages", m.ProtoReflect().Descriptor().Name(), len(payload))
	}
	return nil
}

// countMessages takes the messages within a message from the budget. What is
// not well formed is left to the decoder.
func countMessages(b []byte, md protoreflect.MessageDescriptor, budget *int, depth int) bool {
	if depth == 0 {
		return false
	}
	fields := md.Fields()
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return true
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
			return true
		}
		if typ == protowire.BytesType {
			// Map entries are strings and cost little more than their bytes.
			if fd := fields.ByNumber(num); fd != nil && fd.Message() != nil && !fd.IsMap() {
				if *budget--; *budget < 0 {
					return false
				}
				value, _ := protowire.ConsumeBytes(b)
				if !countMessages(value, fd.Message(), budget, depth-1) {
					return false
				}
			}
		}
		b = b[n:]
	}
	return true
}
