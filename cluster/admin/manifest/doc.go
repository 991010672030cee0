// Package manifest writes what the admin API tells as text that programs and
// people read again: JSON and YAML with one set of names. isgwctl -o json and
// -o yaml and the manifests on the console are its output, so they are equal.
package manifest
