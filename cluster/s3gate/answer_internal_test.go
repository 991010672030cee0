package s3gate

import (
	"encoding/xml"
	"testing"
)

// TestConformed gives answers the form that S3 gives them.
func TestConformed(t *testing.T) {
	const ns = ` xmlns="http://s3.amazonaws.com/doc/2006-03-01/"`
	for in, want := range map[string]string{
		"":                     "",
		"{}":                   "{}",
		xml.Header:             xml.Header,
		xml.Header + "<A":      xml.Header + "<A",
		xml.Header + "<A>":     xml.Header + "<A>",
		xml.Header + "<A></B>": xml.Header + "<A></B>",
		xml.Header + "<A></A>": xml.Header + "<A" + ns + "></A>",
		xml.Header + "<A/>":    xml.Header + "<A/>",
		"<A></A>":              "<A></A>",
		xml.Header + "<A x='y'><Rule></Rule></A>":                                                 xml.Header + "<A x='y'><Rule></Rule></A>",
		xml.Header + "<A><Rule></Rule><B>c</B></A>":                                               xml.Header + "<A" + ns + "><B>c</B></A>",
		xml.Header + "<ObjectLockRetention><EventHold></EventHold><M>x</M></ObjectLockRetention>": xml.Header + "<Retention" + ns + "><M>x</M></Retention>",
		xml.Header + "<CopyObjectResult><ChecksumType></ChecksumType></CopyObjectResult>":         xml.Header + "<CopyObjectResult" + ns + "></CopyObjectResult>",
	} {
		if got := string(conformed([]byte(in))); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
