// Package s3gate is a site's S3 endpoint: a backend and an identity service for
// versitygw's s3api, which does signatures, streaming payloads, the parsing of
// requests and the shape of answers, and a server that carries it.
//
// A client sees the buckets of the tenant that owns its access key, under their
// last name: bk1 is Hawaii/Cola/bk1 for a key of Hawaii/Cola. The tenant is the
// account. Whatever a request names is looked up below the tenant of the key that
// signed it, so another tenant's bucket is one that does not exist.
//
// A request passes entrance, which refuses what bears no signature and answers
// preflights; versitygw, which verifies the signature and parses; guard, which decides
// by the key's restriction and role and the bucket's policy; and the backend, which
// reads and writes. A request without a valid signature learns nothing, not even
// whether a bucket exists, and nobody is let in without one.
//
// What the endpoint does not do it refuses with the S3 error for that, and never
// takes silently; docs/s3.md lists every operation.
package s3gate
