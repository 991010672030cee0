package s3gate

import (
	"context"
	"encoding/xml"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/s3err"
)

// Some of what S3 takes versitygw refuses, or drops, when it parses a request. That
// is put in words that it takes after the signature and the digests were verified,
// which cover what was sent, and before it parses: when it asks for the bucket's ACL.

// prepare changes a request whose signature is verified.
func prepare(request context.Context) error {
	fast, ok := request.(*fasthttp.RequestCtx)
	if !ok {
		return nil
	}
	hoist(fast)
	aliasSource(fast)
	switch {
	case asksTo(request, http.MethodPost, "delete"):
		return prepareDeletion(fast)
	case asksTo(request, http.MethodPut, "retention"):
		prepareRetention(fast)
	case asksTo(request, http.MethodPut, "tagging"):
		if err := prepareTagging(fast); err != nil {
			return err
		}
	case asks(request, "attributes"):
		prepareAttributes(fast)
	}
	return finishForm(request)
}

// quiet is the key of a request's value that says that only what was not deleted is
// to be told.
type quiet struct{}

// deletionList is the body of DeleteObjects as clients send it.
type deletionList struct {
	XMLName xml.Name `xml:"Delete"`
	Objects []struct {
		Key              *string `xml:"Key"`
		VersionID        *string `xml:"VersionId"`
		ETag             *string `xml:"ETag"`
		LastModifiedTime *string `xml:"LastModifiedTime"`
		Size             *int64  `xml:"Size"`
	} `xml:"Object"`
	Quiet string `xml:"Quiet"`
}

// prepareDeletion notes whether a deletion of many is quiet, and gives times in the
// form of HTTP, in which the SDKs send them, that of XML. It refuses what is no
// list of as many as there may be.
func prepareDeletion(fast *fasthttp.RequestCtx) error {
	var list deletionList
	if err := xml.Unmarshal(fast.Request.Body(), &list); err != nil || len(list.Objects) == 0 || len(list.Objects) > maxDeletions {
		return s3err.GetAPIError(s3err.ErrMalformedXML)
	}
	fast.SetUserValue(quiet{}, strings.EqualFold(strings.TrimSpace(list.Quiet), "true"))
	timed := false
	for i := range list.Objects {
		o := &list.Objects[i]
		if o.LastModifiedTime == nil {
			continue
		}
		at, err := http.ParseTime(*o.LastModifiedTime)
		if err != nil {
			if at, err = time.Parse(time.RFC3339, *o.LastModifiedTime); err != nil {
				return s3err.GetAPIError(s3err.ErrMalformedXML)
			}
		}
		o.LastModifiedTime, timed = ptr(at.UTC().Format(time.RFC3339Nano)), true
	}
	if !timed {
		return nil
	}
	changed, err := xml.Marshal(list)
	if err != nil {
		return s3err.GetAPIError(s3err.ErrMalformedXML)
	}
	fast.Request.SetBody(changed)
	return nil
}

// lifting is the key of a request's value that says that a retention is to end.
type lifting struct{}

// lifts reports whether a request ends a retention.
func lifts(request context.Context) bool { return request.Value(lifting{}) != nil }

// prepareRetention notes whether a retention is empty, which ends the one that is,
// and puts one in its place that versitygw takes.
func prepareRetention(fast *fasthttp.RequestCtx) {
	var in struct {
		XMLName         xml.Name `xml:"Retention"`
		Mode            string   `xml:"Mode"`
		RetainUntilDate string   `xml:"RetainUntilDate"`
	}
	if err := xml.Unmarshal(fast.Request.Body(), &in); err != nil || in.Mode != "" || in.RetainUntilDate != "" {
		return
	}
	fast.SetUserValue(lifting{}, true)
	fast.Request.SetBodyString("<Retention><Mode>" + string(types.ObjectLockRetentionModeGovernance) +
		"</Mode><RetainUntilDate>9999-12-31T00:00:00Z</RetainUntilDate></Retention>")
}

// prepareAttributes writes the list of attributes that are asked for without spaces,
// which HTTP and some SDKs have between the members of a list.
func prepareAttributes(fast *fasthttp.RequestCtx) {
	const header = "X-Amz-Object-Attributes"
	var list []string
	for _, value := range fast.Request.Header.PeekAll(header) {
		for one := range strings.SplitSeq(string(value), ",") {
			if one = strings.TrimSpace(one); one != "" {
				list = append(list, one)
			}
		}
	}
	if len(list) > 0 {
		fast.Request.Header.Set(header, strings.Join(list, ","))
	}
}
