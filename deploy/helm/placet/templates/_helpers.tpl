{{/* What everything is called: the release, or what `nameOverride` says. */}}
{{- define "placet.name" -}}
{{- default .Release.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{/* Of one part: (list . "gateway"). */}}
{{- define "placet.part" -}}
{{- $root := index . 0 -}}
{{- printf "%s-%s" (include "placet.name" $root) (index . 1) -}}
{{- end }}

{{- define "placet.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: placet
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "placet.labels" -}}
{{- $root := index . 0 -}}
{{ include "placet.selector" . }}
app.kubernetes.io/part-of: placet
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end }}

{{- define "placet.image" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $own := index $root.Values $name -}}
{{- $own.image | default (printf "%s%s:%s" $root.Values.images.prefix $name (default $root.Chart.AppVersion $root.Values.images.tag)) -}}
{{- end }}

{{/* Its name in the cluster, whole: HAProxy completes none. */}}
{{- define "placet.host" -}}
{{- $root := index . 0 -}}
{{- printf "%s.%s.svc.%s" (include "placet.part" .) $root.Release.Namespace $root.Values.clusterDomain -}}
{{- end }}

{{/* What each service's certificate names beside its own name. */}}
{{- define "placet.hostOfAll" -}}
{{- printf "%s.%s.svc.%s" (include "placet.name" .) .Release.Namespace .Values.clusterDomain -}}
{{- end }}

{{/* Whole numbers stay whole: YAML's come as floating point. */}}
{{- define "placet.text" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) -}}
{{- printf "%.0f" . -}}
{{- else -}}
{{- toString . -}}
{{- end -}}
{{- end }}

{{/* How many of it there are to be at least. */}}
{{- define "placet.replicas" -}}
{{- $own := index (index . 0).Values (index . 1) -}}
{{- $scaling := $own.autoscaling | default dict -}}
{{- ternary $scaling.minReplicas $own.replicas (default false $scaling.enabled) -}}
{{- end }}

{{- define "placet.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "placet.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{/* Where its pods may be put. */}}
{{- define "placet.placement" -}}
{{- $root := index . 0 -}}
{{- $own := index $root.Values (index . 1) -}}
{{- $selector := include "placet.selector" . }}
{{- with $root.Values.topologySpread }}
topologySpreadConstraints:
  {{- range . }}
  - topologyKey: {{ .topologyKey }}
    maxSkew: {{ .maxSkew }}
    whenUnsatisfiable: {{ .whenUnsatisfiable }}
    labelSelector:
      matchLabels:
        {{- $selector | nindent 8 }}
  {{- end }}
{{- end }}
{{- with $own.nodeSelector | default $root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.tolerations | default $root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.priorityClassName | default $root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $root.Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "placet.disruptionBudget" -}}
{{- $root := index . 0 -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "placet.part" . }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "placet.labels" . | nindent 4 }}
spec:
  # One at a time may be taken away, also where there is one alone: a node can always be drained.
  maxUnavailable: 1
  selector:
    matchLabels:
      {{- include "placet.selector" . | nindent 6 }}
{{- end }}

{{- define "placet.autoscaler" -}}
{{- $root := index . 0 -}}
{{- $scaling := (index $root.Values (index . 1)).autoscaling -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ include "placet.part" . }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "placet.labels" . | nindent 4 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ include "placet.part" . }}
  minReplicas: {{ $scaling.minReplicas }}
  maxReplicas: {{ $scaling.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: { type: Utilization, averageUtilization: {{ $scaling.targetCPUUtilizationPercentage }} }
{{- end }}

{{/* A way out: `to` is whom (anybody, if that is empty), `ports` which; without ports there is none. */}}
{{- define "placet.egress" -}}
{{- if .ports -}}
- ports:
    {{- range .ports }}
    - { protocol: TCP, port: {{ . | int }} }
    {{- end }}
    {{- range .udpPorts }}
    - { protocol: UDP, port: {{ . | int }} }
    {{- end }}
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
{{- end }}

{{/* As probes have it. */}}
{{- define "placet.scheme" -}}
{{- ternary "HTTPS" "HTTP" .Values.tls.internal.enabled -}}
{{- end }}
