// Package settings reads a ConfigMap argocd-cm with Argo CD's own code.
package settings

import (
	"context"
	"os"

	"github.com/argoproj/argo-cd/v3/util/settings"
	log "github.com/sirupsen/logrus"
	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/yaml"
)

// Read answers what Argo CD takes from the ConfigMap in this file.
func Read(path string) (*settings.SettingsManager, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var stored v1.ConfigMap
	if err := yaml.UnmarshalStrict(text, &stored); err != nil {
		return nil, err
	}
	log.SetLevel(log.WarnLevel)
	secret := v1.Secret{}
	secret.Name, secret.Namespace = "argocd-secret", stored.Namespace
	return settings.NewSettingsManager(
		context.Background(), fake.NewClientset(&stored, &secret), stored.Namespace), nil
}
