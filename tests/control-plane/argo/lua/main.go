// Runs the health_test.yaml and actions/action_test.yaml of a folder as Argo CD does with those of its own
// resource_customizations, on the scripts of that folder and with Argo CD's own Lua machine.
//
//	argo-lua FOLDER
//
// One line for each test; the exit status is 1 where one failed or none was found.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/argoproj/argo-cd/v3/pkg/apiclient/application"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/argoproj/gitops-engine/pkg/health"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// Argo CD takes the standard libraries from scripts that a configuration brings, so these must do without.
var machine = lua.VM{UseOpenLibs: false}

type healthTest struct {
	InputPath    string              `json:"inputPath"`
	HealthStatus health.HealthStatus `json:"healthStatus"`
}

type discoveryTest struct {
	InputPath string             `json:"inputPath"`
	Result    []discoveredAction `json:"result"`
}

type discoveredAction struct {
	Name     string `json:"name"`
	Disabled bool   `json:"disabled"`
}

type actionTest struct {
	Action               string            `json:"action"`
	InputPath            string            `json:"inputPath"`
	ExpectedOutputPath   string            `json:"expectedOutputPath"`
	ExpectedErrorMessage string            `json:"expectedErrorMessage"`
	Parameters           map[string]string `json:"parameters"`
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: argo-lua FOLDER")
		os.Exit(2)
	}
	count, failed := 0, 0
	report := func(name string, err error) {
		count++
		if err != nil {
			failed++
			fmt.Printf("FAIL %s: %v\n", name, err)
			return
		}
		fmt.Printf("ok %s\n", name)
	}
	err := errors.Join(healths(os.Args[1], report), actions(filepath.Join(os.Args[1], "actions"), report))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if failed > 0 || count == 0 {
		os.Exit(1)
	}
}

func healths(folder string, report func(string, error)) error {
	var file struct {
		Tests []healthTest `json:"tests"`
	}
	script, err := os.ReadFile(filepath.Join(folder, "health.lua"))
	if err = errors.Join(err, load(filepath.Join(folder, "health_test.yaml"), &file)); err != nil {
		return err
	}
	for _, test := range file.Tests {
		input, err := object(folder, test.InputPath)
		if err != nil {
			return err
		}
		got, err := machine.ExecuteHealthLua(input, string(script))
		report("health "+test.InputPath, errors.Join(err, differ(test.HealthStatus, got)))
	}
	return nil
}

func actions(folder string, report func(string, error)) error {
	var file struct {
		DiscoveryTests []discoveryTest `json:"discoveryTests"`
		ActionTests    []actionTest    `json:"actionTests"`
	}
	script, err := os.ReadFile(filepath.Join(folder, "discovery.lua"))
	if err = errors.Join(err, load(filepath.Join(folder, "action_test.yaml"), &file)); err != nil {
		return err
	}
	for _, test := range file.DiscoveryTests {
		input, err := object(folder, test.InputPath)
		if err != nil {
			return err
		}
		found, err := machine.ExecuteResourceActionDiscovery(input, []string{string(script)})
		// Argo CD sorts them by their names; a table of Lua has no order.
		got := map[string]bool{}
		for _, action := range found {
			got[action.Name] = action.Disabled
		}
		want := map[string]bool{}
		for _, action := range test.Result {
			want[action.Name] = action.Disabled
		}
		report("discovery "+test.InputPath, errors.Join(err, differ(want, got)))
	}
	for _, test := range file.ActionTests {
		input, err := object(folder, test.InputPath)
		if err != nil {
			return err
		}
		script, err := os.ReadFile(filepath.Join(folder, test.Action, "action.lua"))
		if err != nil {
			return err
		}
		parameters := []*application.ResourceActionParameters{}
		for name, value := range test.Parameters {
			parameters = append(parameters, &application.ResourceActionParameters{Name: &name, Value: &value})
		}
		changed, err := machine.ExecuteResourceAction(input, string(script), parameters)
		name := "action " + test.Action + " " + test.InputPath
		if test.ExpectedErrorMessage != "" {
			report(name, differ(test.ExpectedErrorMessage, fmt.Sprint(err)))
			continue
		}
		want, missing := object(folder, test.ExpectedOutputPath)
		if missing != nil {
			return missing
		}
		if err == nil && len(changed) != 1 {
			err = fmt.Errorf("it changes %d objects and not one", len(changed))
		}
		if err == nil {
			err = differ(want.Object, changed[0].UnstructuredObj.Object)
		}
		report(name, err)
	}
	return nil
}

func load(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return yaml.UnmarshalStrict(text, into)
}

func object(folder, path string) (*unstructured.Unstructured, error) {
	read := &unstructured.Unstructured{}
	text, err := os.ReadFile(filepath.Join(folder, path))
	if err != nil {
		return nil, err
	}
	return read, yaml.Unmarshal(text, &read.Object)
}

func differ(want, got any) error {
	wanted, err := json.Marshal(want)
	gotten, other := json.Marshal(got)
	if err = errors.Join(err, other); err != nil || bytes.Equal(wanted, gotten) {
		return err
	}
	return fmt.Errorf("\n  want %s\n  got  %s", wanted, gotten)
}
