// Scripts of resource customizations in Argo CD's own Lua machine.
//
//	argo-lua FOLDER
//
// runs the health_test.yaml and actions/action_test.yaml of a folder as Argo CD does with those of its own
// resource_customizations, on the scripts of that folder. One line for each test; the exit status is 1 where one failed
// or none was found.
//
//	argo-lua -settings argocd-cm.yaml [-action NAME] < OBJECT
//
// prints as JSON what Argo CD, set up like this, knows of an object, or what the action makes of it.
//
//	argo-lua -application FILE
//
// says whether it is an Application, without an unknown field.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"atlas-integrations.dev/argo/settings"
	"github.com/argoproj/argo-cd/v3/pkg/apiclient/application"
	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/argo/normalizers"
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

// What Argo CD knows of an object.
type known struct {
	Health  *health.HealthStatus `json:"health"`
	Actions map[string]bool      `json:"actions"`
	// A change of anything else refreshes no Application.
	Watched *unstructured.Unstructured `json:"watched"`
}

func main() {
	file := flag.String("settings", "", "the ConfigMap argocd-cm")
	example := flag.String("application", "", "an Application")
	action := flag.String("action", "", "an action to take on the object")
	flag.Parse()
	passed, err := true, error(nil)
	switch {
	case *example != "":
		err = load(*example, &v1alpha1.Application{})
	case *file == "" && flag.NArg() == 1:
		passed, err = tests(flag.Arg(0))
	case *file != "" && flag.NArg() == 0:
		err = live(*file, *action)
	default:
		err = errors.New("usage: argo-lua FOLDER | -settings FILE [-action NAME] < OBJECT | -application FILE")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if !passed {
		os.Exit(1)
	}
}

func live(file, action string) error {
	manager, err := settings.Read(file)
	if err != nil {
		return err
	}
	overrides, err := manager.GetResourceOverrides()
	if err != nil {
		return err
	}
	object := &unstructured.Unstructured{}
	text, err := io.ReadAll(os.Stdin)
	if err = errors.Join(err, json.Unmarshal(text, &object.Object)); err != nil {
		return err
	}
	machine := lua.VM{ResourceOverrides: overrides}
	if action != "" {
		found, err := machine.GetResourceAction(object, action)
		if err != nil {
			return err
		}
		changed, err := one(machine.ExecuteResourceAction(object, found.ActionLua, nil))
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(changed)
	}
	answer := known{Watched: object.DeepCopy()}
	if answer.Health, err = health.GetResourceHealth(object, lua.ResourceHealthOverrides(overrides)); err != nil {
		return err
	}
	scripts, err := machine.GetResourceActionDiscovery(object)
	if err != nil {
		return err
	}
	if answer.Actions, err = discovered(machine, object, scripts); err != nil {
		return err
	}
	ignored, err := manager.GetIgnoreResourceUpdatesOverrides()
	if err != nil {
		return err
	}
	normalizer, err := normalizers.NewIgnoreNormalizer(nil, ignored, normalizers.IgnoreNormalizerOpts{})
	if err != nil {
		return err
	}
	if err := normalizer.Normalize(answer.Watched); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(answer)
}

// discovered answers the actions, and which are disabled; a table of Lua has no order.
func discovered(machine lua.VM, object *unstructured.Unstructured, scripts []string) (map[string]bool, error) {
	found, err := machine.ExecuteResourceActionDiscovery(object, scripts)
	actions := map[string]bool{}
	for _, action := range found {
		actions[action.Name] = action.Disabled
	}
	return actions, err
}

func one(changed []lua.ImpactedResource, err error) (*unstructured.Unstructured, error) {
	if err != nil {
		return nil, err
	}
	if len(changed) != 1 {
		return nil, fmt.Errorf("it changes %d objects and not one", len(changed))
	}
	return changed[0].UnstructuredObj, nil
}

func tests(folder string) (bool, error) {
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
	err := errors.Join(healths(folder, report), actions(filepath.Join(folder, "actions"), report))
	return failed == 0 && count > 0, err
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
		got, err := discovered(machine, input, []string{string(script)})
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
		changed, err := one(machine.ExecuteResourceAction(input, string(script), parameters))
		name := "action " + test.Action + " " + test.InputPath
		if test.ExpectedErrorMessage != "" {
			report(name, differ(test.ExpectedErrorMessage, fmt.Sprint(err)))
			continue
		}
		want, missing := object(folder, test.ExpectedOutputPath)
		if missing != nil {
			return missing
		}
		if err == nil {
			err = errors.Join(timeless(changed), differ(want.Object, changed.Object))
		}
		report(name, err)
	}
	return nil
}

// timeless sets what an action took from the clock to the time that Argo CD's own tests set it to, if it is of now.
func timeless(object *unstructured.Unstructured) error {
	const requested = "atlas-integrations.dev/reconcile-requested-at"
	annotations := object.GetAnnotations()
	stamp, found := annotations[requested]
	if !found {
		return nil
	}
	at, err := time.Parse(time.RFC3339, stamp)
	if err == nil && time.Since(at).Abs() < time.Minute {
		annotations[requested] = "0001-01-01T00:00:00Z"
		object.SetAnnotations(annotations)
	}
	return err
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
