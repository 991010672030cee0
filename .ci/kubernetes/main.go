// Command manifests builds the Kubernetes overlays that its arguments name, as
// kubectl apply -k does, and reads every object that comes out by the types of
// Kubernetes itself. A field that does not exist, or has a value of another
// type, is a fault. The objects are written to stdout.
//
// It is a module of its own, so that isgw does not depend on Kubernetes.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "manifests:", err)
		os.Exit(1)
	}
}

func run(overlays []string, out io.Writer) error {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return fmt.Errorf("register types: %w", err)
		}
	}
	reader := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, json.SerializerOptions{Yaml: true, Strict: true})
	var faults []error
	for _, overlay := range overlays {
		objects, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), overlay)
		if err != nil {
			faults = append(faults, fmt.Errorf("build %s: %w", overlay, err))
			continue
		}
		for _, object := range objects.Resources() {
			raw, err := object.AsYAML()
			if err != nil {
				return fmt.Errorf("write %s: %w", object.CurId(), err)
			}
			if _, _, err := reader.Decode(raw, nil, nil); err != nil {
				faults = append(faults, fmt.Errorf("%s of %s: %w", object.CurId(), overlay, err))
			}
			if _, err := fmt.Fprintf(out, "---\n%s", raw); err != nil {
				return err
			}
		}
	}
	return errors.Join(faults...)
}
