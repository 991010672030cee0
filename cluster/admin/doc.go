// Package admin is the admin API of a node: the contract (adminpb), a server
// over small interfaces that the node implements, and a client.
//
// The server is thin. It bounds and checks what comes in (message sizes, the
// shape of a request), gives every call a request id, turns the errors of the
// implementation into codes with a sentence and a hint, and logs every change
// with its request id and result. What a command decides is in cluster/plan,
// what it does in the implementation.
//
// The requests and answers of the interfaces are the messages of the contract
// themselves, so nothing is converted twice. An implementation may keep and
// return messages as it likes: requests are its own, and answers are not kept
// by the server after the call.
package admin
