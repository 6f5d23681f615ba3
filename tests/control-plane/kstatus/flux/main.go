// Prints the verdicts of kstatus as Flux and Helm 4 have it.
package main

import (
	"atlas-integrations.dev/kstatus/verdicts"
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func main() {
	verdicts.Main(func(object *unstructured.Unstructured) (string, string, error) {
		result, err := status.Compute(object)
		if err != nil {
			return "", "", err
		}
		return result.Status.String(), result.Message, nil
	})
}
