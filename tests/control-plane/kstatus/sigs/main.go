// Prints the verdicts of kstatus as the Kubernetes project has it.
package main

import (
	"atlas-integrations.dev/kstatus/verdicts"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
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
