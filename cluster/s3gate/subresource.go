package s3gate

import (
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v3"
	"github.com/versity/versitygw/s3err"
)

// A query names what of a bucket or an object a request is about: DELETE of /bk1?acl
// is not the deletion of bk1. versitygw's routes take a name that they do not know
// with a method for none at all, so those are refused before.

// subresources are the names that S3 knows.
var subresources = words(`abac accelerate acl analytics annotation attributes cors delete encryption intelligent-tiering inventory
	legal-hold lifecycle location logging metadataAnnotationTable metadataConfiguration metadataInventoryTable
	metadataJournalTable metadataTable metrics notification object-lock ownershipControls partNumber policy policyStatus
	publicAccessBlock renameObject replication requestPayment restore retention select session tagging torrent uploadId
	uploads versioning versions versionId website`)

// routed are those that versitygw routes, of buckets and of objects, by the method.
var (
	routedOfBuckets = map[string]map[string]bool{
		http.MethodGet: words(`accelerate acl analytics cors encryption intelligent-tiering inventory lifecycle location logging metrics
			notification object-lock ownershipControls policy policyStatus publicAccessBlock replication requestPayment tagging
			uploads versioning versions website`),
		http.MethodPut: words(`accelerate acl analytics cors encryption intelligent-tiering inventory lifecycle logging metrics
			notification object-lock ownershipControls policy publicAccessBlock replication requestPayment tagging versioning website`),
		http.MethodDelete: words(`analytics cors encryption intelligent-tiering inventory lifecycle metrics ownershipControls
			policy publicAccessBlock replication tagging website`),
		http.MethodPost: words(`delete`),
	}
	routedOfObjects = map[string]map[string]bool{
		http.MethodGet:    words(`acl attributes legal-hold partNumber retention tagging uploadId uploads versionId versions`),
		http.MethodPut:    words(`acl legal-hold partNumber retention tagging uploadId versionId`),
		http.MethodDelete: words(`tagging uploadId versionId`),
		http.MethodPost:   words(`restore select uploadId uploads versionId`),
	}
)

func words(text string) map[string]bool {
	set := make(map[string]bool)
	for word := range strings.FieldsSeq(text) {
		set[word] = true
	}
	return set
}

// misdirected refuses a change of what cannot be changed so, and the reading of what
// versitygw does not know: it would give the object, or the bucket's listing.
func misdirected(ctx fiber.Ctx) s3err.S3Error {
	routed, kind := routedOfBuckets[ctx.Method()], s3err.ResourceTypeBucket
	if _, key := splitPath(ctx); key != "" {
		routed, kind = routedOfObjects[ctx.Method()], s3err.ResourceTypeObject
	}
	if routed == nil {
		return nil // HEAD and OPTIONS have no subresources
	}
	for name := range ctx.Request().URI().QueryArgs().All() {
		if subresources[string(name)] && !routed[string(name)] {
			if ctx.Method() == http.MethodGet {
				return s3err.GetAPIError(s3err.ErrNotImplemented)
			}
			return s3err.GetMethodNotAllowedErr(ctx.Method(), kind, nil)
		}
	}
	return nil
}
