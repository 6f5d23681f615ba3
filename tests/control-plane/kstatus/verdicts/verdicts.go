// Package verdicts prints what kstatus makes of objects, whichever of its forks is asked.
package verdicts

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Verdict is what is printed of an object.
type Verdict struct {
	Name    string `json:"name"`
	Status  string `json:"status"`
	Message string `json:"message"`
}

// Main reads JSON objects from standard input and prints the verdict on each as one line of JSON.
func Main(compute func(*unstructured.Unstructured) (status, message string, err error)) {
	if err := run(compute, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(compute func(*unstructured.Unstructured) (status, message string, err error), in io.Reader, out io.Writer) error {
	objects, verdicts := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var raw json.RawMessage
		if err := objects.Decode(&raw); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		// Its own decoder, since kstatus takes integers only as int64.
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(raw); err != nil {
			return err
		}
		status, message, err := compute(object)
		if err != nil {
			return fmt.Errorf("%s: %w", object.GetName(), err)
		}
		if err := verdicts.Encode(Verdict{object.GetName(), status, message}); err != nil {
			return err
		}
	}
}
