// One sync of a folder of manifests by Argo CD's engine, as its application controller does it: waves, health,
// prune, differences.
//
//	argo-sync [-prune] [-server-side] [-settings argocd-cm.yaml] -namespace NAMESPACE FOLDER
//
// KUBECONFIG names the cluster. One line of JSON for each thing that is waited for, when it begins, one for each
// resource of the sync, in its order, and one for the end and what differs then; the exit status is 1 where the sync
// did not succeed.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"atlas-integrations.dev/argo/settings"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/argoproj/gitops-engine/pkg/cache"
	"github.com/argoproj/gitops-engine/pkg/diff"
	"github.com/argoproj/gitops-engine/pkg/sync"
	"github.com/argoproj/gitops-engine/pkg/sync/common"
	"github.com/argoproj/gitops-engine/pkg/utils/kube"
	"github.com/argoproj/gitops-engine/pkg/utils/tracing"
	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Argo CD's mark on what it manages.
const tracking = "argocd.argoproj.io/tracking-id"

// Argo CD's pause between two waves.
const pause = 2 * time.Second

type waiting struct {
	Waiting string `json:"waiting"`
}

type resource struct {
	Resource string `json:"resource"`
	Status   string `json:"status"`
	Message  string `json:"message"`
}

type outcome struct {
	Phase   string   `json:"phase"`
	Message string   `json:"message"`
	Differs []string `json:"differs"`
}

// A folder as an application.
type app struct {
	namespace  string
	prune      bool
	serverSide bool
	overrides  lua.ResourceHealthOverrides
	limit      time.Duration
	config     *rest.Config
	live       cache.ClusterCache
	target     []*unstructured.Unstructured
}

func main() {
	a := app{overrides: lua.ResourceHealthOverrides{}}
	flag.StringVar(&a.namespace, "namespace", "default", "where the application is deployed to")
	flag.BoolVar(&a.prune, "prune", false, "delete what the folder no longer has")
	flag.BoolVar(&a.serverSide, "server-side", false, "apply on the server's side")
	flag.DurationVar(&a.limit, "timeout", time.Minute, "when to give up")
	flag.Func("settings", "the ConfigMap argocd-cm, for how the health of a kind is told", func(file string) error {
		manager, err := settings.Read(file)
		if err != nil {
			return err
		}
		a.overrides, err = manager.GetResourceOverrides()
		return err
	})
	flag.Parse()
	end, err := a.run(flag.Arg(0))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	show(end)
	if end.Phase != string(common.OperationSucceeded) {
		os.Exit(1)
	}
}

func show(value any) {
	// A closed standard output is the reader's choice.
	_ = json.NewEncoder(os.Stdout).Encode(value)
}

func (a *app) run(folder string) (outcome, error) {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return outcome{}, err
	}
	// More than the client's own few requests a second, on which a sync would mostly wait.
	config.QPS, config.Burst = 100, 200
	a.config = config
	a.live = cache.NewClusterCache(config, cache.SetPopulateResourceInfoHandler(mark))
	if err := a.live.EnsureSynced(); err != nil {
		return outcome{}, err
	}
	defer a.live.Invalidate()
	if err := a.read(folder); err != nil {
		return outcome{}, err
	}
	phase, message, err := a.sync()
	if err != nil {
		return outcome{}, err
	}
	// What the cache knows may be older than the end of the sync.
	a.live.Invalidate()
	if err := a.live.EnsureSynced(); err != nil {
		return outcome{}, err
	}
	differs, err := a.differences()
	return outcome{string(phase), message, differs}, err
}

// read reads the manifests, and marks each as the application's. What names no namespace is meant for its own.
func (a *app) read(folder string) error {
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		objects, err := kube.SplitYAML(text)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		a.target = append(a.target, objects...)
	}
	for _, object := range a.target {
		annotations := object.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		if namespaced, _ := a.live.IsNamespaced(object.GroupVersionKind().GroupKind()); namespaced && object.GetNamespace() == "" {
			object.SetNamespace(a.namespace)
		}
		annotations[tracking] = a.id(kube.GetResourceKey(object))
		object.SetAnnotations(annotations)
	}
	return nil
}

// id is what marks an object as the application's, which has the name of its namespace.
func (a *app) id(key kube.ResourceKey) string {
	return fmt.Sprintf("%s:%s/%s:%s/%s", a.namespace, key.Group, key.Kind, key.Namespace, key.Name)
}

func mark(object *unstructured.Unstructured, _ bool) (any, bool) {
	mark := object.GetAnnotations()[tracking]
	return mark, mark != ""
}

func (a *app) reconcile() (sync.ReconciliationResult, error) {
	ours := func(found *cache.Resource) bool { return found.Info == a.id(found.ResourceKey()) }
	objects, err := a.live.GetManagedLiveObjs(a.target, ours)
	if err != nil {
		return sync.ReconciliationResult{}, err
	}
	return sync.Reconcile(a.target, objects, a.namespace, a.live), nil
}

// sync goes on from fresh live objects and the results so far until it is done, as the controller does: the engine
// keeps the objects that it began with, so that a wave that waits for health would never see it come.
func (a *app) sync() (common.OperationPhase, string, error) {
	phase, message, results, started := common.OperationRunning, "", []common.ResourceSyncResult(nil), metav1.Now()
	for deadline := time.Now().Add(a.limit); !phase.Completed(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			message = "given up: " + message
			break
		}
		state, err := a.reconcile()
		if err != nil {
			return phase, message, err
		}
		differences, err := diff.DiffArray(state.Target, state.Live)
		if err != nil {
			return phase, message, err
		}
		kubectl := &kube.KubectlCmd{Log: logr.Discard(), Tracer: tracing.NopTracer{}}
		context, cleanup, err := sync.NewSyncContext("local", state, a.config, a.config, kubectl, a.namespace,
			a.live.GetOpenAPISchema(), sync.WithPrune(a.prune), sync.WithServerSideApply(a.serverSide),
			sync.WithServerSideApplyManager("argocd-controller"), sync.WithHealthOverride(a.overrides),
			sync.WithSkipHooks(!differences.Modified && len(results) == 0), sync.WithLogr(logr.Discard()),
			sync.WithInitialState(phase, message, results, started),
			sync.WithSyncWaveHook(func(_ common.SyncPhase, _ int, last bool) error {
				if !last {
					time.Sleep(pause)
				}
				return nil
			}))
		if err != nil {
			return phase, message, err
		}
		context.Sync()
		before := message
		phase, message, results = context.GetState()
		cleanup()
		if message != before && strings.HasPrefix(message, "waiting for ") {
			show(waiting{message})
		}
	}
	sort.SliceStable(results, func(i, j int) bool { return results[i].Order < results[j].Order })
	for _, result := range results {
		key := result.ResourceKey
		show(resource{key.Kind + " " + key.Name, string(result.Status), result.Message})
	}
	return phase, message, nil
}

func (a *app) differences() ([]string, error) {
	state, err := a.reconcile()
	if err != nil {
		return nil, err
	}
	found, err := diff.DiffArray(state.Target, state.Live)
	if err != nil {
		return nil, err
	}
	differs := []string{}
	for place, difference := range found.Diffs {
		if !difference.Modified {
			continue
		}
		object := state.Target[place]
		if object == nil {
			object = state.Live[place]
		}
		differs = append(differs, object.GetKind()+" "+object.GetName())
	}
	return differs, nil
}
