// One reconciliation of a folder of manifests by Flux's apply engine, as its kustomize-controller does it: apply, prune,
// wait for health.
//
//	flux-sync -name NAME [-was FOLDER] [-terminated] [-wait] [-timeout DURATION] FOLDER
//
// KUBECONFIG names the cluster. What -was has and FOLDER has not is pruned; -terminated waits until it is gone. One line
// for each change; the exit status is 1 where something failed, or is not healthy in time.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/normalize"
	"github.com/fluxcd/pkg/ssa/utils"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const group = "kustomize.toolkit.fluxcd.io"

type flags struct {
	name, was        string
	terminated, wait bool
	timeout          time.Duration
}

func main() {
	f := flags{}
	flag.StringVar(&f.name, "name", "", "the Kustomization")
	flag.StringVar(&f.was, "was", "", "what was applied before")
	flag.BoolVar(&f.terminated, "terminated", false, "wait until what is pruned is gone")
	flag.BoolVar(&f.wait, "wait", false, "wait until all is healthy")
	flag.DurationVar(&f.timeout, "timeout", time.Minute, "when to give up waiting")
	flag.Parse()
	if err := run(f, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(f flags, folder string) error {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	// As the controller has it, instead of five requests a second.
	config.QPS, config.Burst = 50, 300
	cluster, err := client.New(config, client.Options{})
	if err != nil {
		return err
	}
	poller := polling.NewStatusPoller(cluster, cluster.RESTMapper(), polling.Options{})
	manager := ssa.NewResourceManager(cluster, poller, ssa.Owner{Field: "kustomize-controller", Group: group})
	objects, err := read(folder)
	if err != nil {
		return err
	}
	manager.SetOwnerLabels(objects, f.name, "flux-system")
	if err := normalize.UnstructuredList(objects); err != nil {
		return err
	}
	ctx := context.Background()
	applied, err := manager.ApplyAllStaged(ctx, objects, applyOptions())
	if err != nil {
		return err
	}
	show(applied)
	if err := prune(ctx, f, manager, objects); err != nil {
		return err
	}
	if !f.wait {
		return nil
	}
	return manager.WaitForSetWithContext(ctx, applied.ToObjMetadataSet(), ssa.WaitOptions{
		Interval: time.Second,
		Timeout:  f.timeout,
		FailFast: true,
	})
}

// What kustomize-controller cleans up: the fields that kubectl has set.
func applyOptions() ssa.ApplyOptions {
	options := ssa.DefaultApplyOptions()
	options.ExclusionSelector = map[string]string{group + "/reconcile": "disabled"}
	options.Cleanup = ssa.ApplyCleanupOptions{
		Annotations: []string{"kubectl.kubernetes.io/last-applied-configuration"},
		FieldManagers: []ssa.FieldManager{
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationApply},
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: "before-first-apply", OperationType: metav1.ManagedFieldsOperationUpdate},
		},
	}
	return options
}

func prune(ctx context.Context, f flags, manager *ssa.ResourceManager, kept []*unstructured.Unstructured) error {
	stale, err := read(f.was)
	if err != nil {
		return err
	}
	for _, object := range kept {
		stale = without(stale, utils.FmtUnstructured(object))
	}
	deleted, err := manager.DeleteAll(ctx, stale, ssa.DeleteOptions{
		PropagationPolicy: metav1.DeletePropagationBackground,
		Inclusions:        manager.GetOwnerLabels(f.name, "flux-system"),
		Exclusions:        map[string]string{group + "/prune": "disabled", group + "/reconcile": "disabled"},
	})
	if err != nil {
		return err
	}
	show(deleted)
	if !f.terminated {
		return nil
	}
	return manager.WaitForSetTermination(deleted, ssa.WaitOptions{Interval: time.Second, Timeout: f.timeout})
}

func without(objects []*unstructured.Unstructured, name string) []*unstructured.Unstructured {
	rest := objects[:0]
	for _, object := range objects {
		if utils.FmtUnstructured(object) != name {
			rest = append(rest, object)
		}
	}
	return rest
}

// All objects of the files of a folder; none where there is no folder.
func read(folder string) ([]*unstructured.Unstructured, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil || folder == "" {
		return nil, err
	}
	var all []*unstructured.Unstructured
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		objects, err := utils.ReadObjects(file)
		file.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, objects...)
	}
	return all, nil
}

func show(changes *ssa.ChangeSet) {
	for _, entry := range changes.Entries {
		fmt.Println(entry.String())
	}
}
