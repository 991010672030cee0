// Package manifest writes what the admin API tells as text that programs and
// people read again: JSON and YAML with one set of names. isgwctl -o json and
// -o yaml and the manifests on the console are its output, so they are equal.
//
// It also reads and writes the manifests of links, YAML documents of kind ISGW
// as EdgeFS had them: [Read], [Write], and [Property] for single settings. They
// say what a link is to be; [JSON] and [YAML] tell what is.
package manifest
