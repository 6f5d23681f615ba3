{{- define "operator.name" -}}
{{ .Values.fullnameOverride | default .Release.Name | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- define "operator.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "operator.name" .) }}
{{- end }}

{{- define "operator.selector" -}}
app.kubernetes.io/name: atlas-integration-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "operator.labels" -}}
{{ include "operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "operator.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end }}
{{- end }}
{{- end }}

{{/* Whom the bindings bind. */}}
{{- define "operator.subjects" -}}
- kind: ServiceAccount
  name: {{ include "operator.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{/* Flags: what the operator does by itself is not said again. */}}
{{- define "operator.args" -}}
- run
- --leader-elect
{{- with include "operator.name" . }}
{{- if ne . "atlas-integration-operator" }}
- --leader-election-lease-name={{ . }}
{{- end }}
{{- end }}
{{- range .Values.watchNamespaces }}
- --watch-namespace={{ . }}
{{- end }}
{{- with .Values.selector }}
- {{ printf "--selector=%s" . | quote }}
{{- end }}
{{- if not .Values.secrets.watch }}
- --watch-secrets=false
{{- end }}
{{- with .Values.credentials.secretName }}
- --credentials-secret={{ . }}
{{- end }}
{{- if ne .Values.defaults.adoptionPolicy "Refuse" }}
- --default-adoption-policy={{ .Values.defaults.adoptionPolicy }}
{{- end }}
{{- if ne .Values.defaults.deletionPolicy "Delete" }}
- --default-deletion-policy={{ .Values.defaults.deletionPolicy }}
{{- end }}
{{- if ne .Values.atlas.url "https://cloud.mongodb.com" }}
- --atlas-url={{ .Values.atlas.url }}
{{- end }}
{{- if ne .Values.resyncInterval "10m" }}
- --resync-interval={{ .Values.resyncInterval }}
{{- end }}
{{- if ne .Values.logs.format "json" }}
- --log-format={{ .Values.logs.format }}
{{- end }}
{{- if ne .Values.logs.level "info" }}
- {{ printf "--log-level=%s" .Values.logs.level | quote }}
{{- end }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{- define "operator.env" -}}
{{- if .Values.customCA.configMapName }}
- name: SSL_CERT_FILE
  value: /etc/atlas-integration-operator/ca/{{ .Values.customCA.key }}
{{- end }}
{{- with .Values.proxy.url }}
- name: HTTPS_PROXY
  value: {{ . | quote }}
- name: NO_PROXY
  value: {{ prepend $.Values.proxy.noProxy "kubernetes.default.svc,$(KUBERNETES_SERVICE_HOST)" | join "," | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "operator.volumes" -}}
{{- with .Values.customCA.configMapName }}
- name: custom-ca
  configMap:
    name: {{ . }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "operator.volumeMounts" -}}
{{- if .Values.customCA.configMapName }}
- name: custom-ca
  mountPath: /etc/atlas-integration-operator/ca
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "operator.secretVerbs" -}}
{{ ternary "[get, list, watch]" "[get]" .Values.secrets.watch }}
{{- end }}

{{/* What it does to objects of its kind; all that rbac.clusterFinalizers gives. */}}
{{- define "operator.objectRules" -}}
- apiGroups: [atlas-integrations.dev]
  resources: [atlasintegrations]
  verbs: [get, list, watch, patch]
- apiGroups: [atlas-integrations.dev]
  resources: [atlasintegrations/status]
  verbs: [patch]
{{- end }}

{{/* What it may do wherever it watches. */}}
{{- define "operator.rules" -}}
{{ include "operator.objectRules" . }}
- apiGroups: [""]
  resources: [secrets]
  verbs: {{ include "operator.secretVerbs" . }}
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}
