package s3gate

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v3"

	"edgefog.dev/isgw/raftfsm/state"
)

// CheckDomain refuses a name that cannot be a domain of virtual hosts: it has no
// port, is in small letters and consists of labels of DNS.
func CheckDomain(domain string) error {
	if len(domain) == 0 || len(domain) > 253 {
		return fmt.Errorf("S3 domain %q: a domain has 1 to 253 characters", domain)
	}
	for label := range strings.SplitSeq(domain, ".") {
		if len(label) == 0 || len(label) > 63 || strings.Trim(label, "-") != label ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return fmt.Errorf("S3 domain %q: want a domain such as s3.example.com, in small letters and without a port", domain)
		}
	}
	return nil
}

// bucketOfHost returns the bucket in the name of a host: bk1 in
// bk1.s3.example.com:9000 where s3.example.com is among the domains, of which the
// longest counts. A bucket's name may have dots.
func bucketOfHost(host string, domains []string) (bucket string, ok bool) {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	longest := ""
	for _, domain := range domains {
		if name, found := strings.CutSuffix(host, "."+domain); found && len(domain) > len(longest) {
			bucket, longest = name, domain
		}
	}
	if longest == "" || slices.Contains(domains, host) { // s3.example.com may be one of example.com's
		return "", false
	}
	p, err := state.ParsePath("n/t/" + bucket)
	return bucket, err == nil && p.Depth() == 3
}

// fromHost moves the bucket from a request's host to its path, where versitygw
// expects it. The signature is over the path as it was sent.
func (g *Gate) fromHost(ctx fiber.Ctx) {
	if len(g.domains) == 0 {
		return
	}
	bucket, ok := bucketOfHost(string(ctx.Request().Host()), g.domains)
	if !ok {
		return
	}
	sent := string(ctx.Request().URI().PathOriginal())
	signed, err := url.PathUnescape(sent)
	if err != nil {
		return // versitygw refuses it
	}
	if signed == "" {
		signed = "/"
	}
	ctx.Locals(signedPath, signed)
	if sent == "/" {
		sent = ""
	}
	ctx.Path("/" + bucket + sent)
}
