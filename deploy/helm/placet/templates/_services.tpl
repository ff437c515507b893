{{/*
What each service is told that is no secret, as variables. What is secret comes as files, of which each has its own:
`placet.secretItems`. docs/reference/settings.md has the meaning of all of them.
*/}}
{{- define "placet.settings" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $v := $root.Values -}}
PLACET_AMQP_URL_FILE: /run/placet/amqp-url
PLACET_DATABASE_URL_FILE: /run/placet/database-url
PLACET_REGISTRY_FILE: /run/placet/registry-url
PLACET_HTTP_PORT: "8080"
PLACET_LOG_LEVEL: {{ $v.logs.level }}
PLACET_LOG_FORMAT: {{ $v.logs.format }}
{{- if $v.trust.configMap }}
SSL_CERT_FILE: /run/trust/ca.pem
{{- end }}
{{- if $v.tls.internal.enabled }}
PLACET_HTTP_TLS_CERTIFICATE: /run/tls/tls.crt
PLACET_HTTP_TLS_KEY: /run/tls/tls.key
{{- if $v.tls.internal.verifyClients }}
PLACET_HTTP_TLS_CLIENT_CA: /run/tls/ca.crt
{{- end }}
{{- end }}
{{- if $v.oidc.issuer }}
PLACET_OIDC_ISSUER: {{ $v.oidc.issuer | quote }}
PLACET_OIDC_CLIENT_ID: {{ $v.oidc.clientId | quote }}
PLACET_OIDC_PERSON_KEY: /run/placet/oidc-person-key
{{- range $key, $variable := dict "audience" "AUDIENCE" "rolesClaim" "ROLES_CLAIM" "roles" "ROLES" "nameClaim" "NAME_CLAIM" "teamsClaim" "TEAMS_CLAIM" }}
{{- with index $v.oidc $key }}
PLACET_OIDC_{{ $variable }}: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- if ne $name "gateway" }}
PLACET_TOKEN_KEYS: /run/placet/tokens.json
{{- end }}
{{- if eq $name "gateway" }}
PLACET_TOKEN_KEY: /run/keys/tokens.pem
PLACET_API_URL: {{ $v.url | quote }}
PLACET_API_INTERNAL_URL: {{ ternary "https" "http" $v.tls.internal.enabled }}://{{ include "placet.host" (list $root "edge-within") }}:8080
{{- if $v.tls.internal.enabled }}
PLACET_API_CA: /run/tls/ca.crt
{{- end }}
{{- with $v.gateway.gitHosts }}
PLACET_GIT_HOSTS: {{ join "," . | quote }}
{{- end }}
{{- if and $v.oidc.issuer $v.oidc.clientSecret }}
PLACET_OIDC_CLIENT_SECRET_FILE: /run/placet/oidc-client-secret
{{- end }}
{{- if and $v.oidc.issuer $v.oidc.scopes }}
PLACET_OIDC_SCOPES: {{ $v.oidc.scopes | quote }}
{{- end }}
{{- else if eq $name "certifier" }}
PLACET_SIGNING_KEY: /run/keys/certificates.pem
{{- else if eq $name "builder" }}
PLACET_DATA_DIR: /data
PLACET_BASE_IMAGE: {{ $v.builder.baseImage | quote }}
{{- with $v.builder.packageIndex }}
PLACET_PACKAGE_INDEX: {{ . | quote }}
{{- end }}
{{- else if eq $name "indexer" }}
{{- if $v.indexer.notifications }}
PLACET_NOTIFICATION_TOKEN_FILE: /run/placet/notification-token
{{- end }}
{{- else if eq $name "deployer" }}
PLACET_CERTIFIER_KEYS: /run/placet/certificates.json
PLACET_DATA: /data
PLACET_PUBLIC_URL: {{ $v.url | quote }}
PLACET_MODEL_HOST: kubernetes
PLACET_KUBERNETES_NAMESPACE: {{ $v.models.namespace }}
PLACET_KUBERNETES_CALLERS: {{ include "placet.callers" $root | quote }}
{{- with $v.models.callerAddresses }}
PLACET_KUBERNETES_CALLER_ADDRESSES: {{ join "," . | quote }}
{{- end }}
{{- with $v.models.registry }}
PLACET_KUBERNETES_REGISTRY: {{ . | quote }}
{{- end }}
{{- with $v.models.pullSecret }}
PLACET_KUBERNETES_PULL_SECRET: {{ . }}
{{- end }}
PLACET_KUBERNETES_GPU: {{ $v.models.gpu }}
{{- if eq $v.routes.by "gatewayApi" }}
PLACET_ROUTER: kubernetes
PLACET_KUBERNETES_GATEWAY: {{ printf "%s/%s%s" $v.routes.gateway.namespace $v.routes.gateway.name (ternary (printf "/%s" $v.routes.gateway.listener) "" (ne $v.routes.gateway.listener "")) }}
{{- else }}
PLACET_ROUTER: gateway
{{- end }}
# So long who sends requests on may take to hear of a change.
PLACET_DRAIN_SECONDS: "10"
{{- else if eq $name "metadata" }}
PLACET_SIGNING_KEY: /state/checkpoints.pem
{{- with $v.metadata.logOrigin }}
PLACET_LOG_ORIGIN: {{ . | quote }}
{{- end }}
{{- if $v.metadata.witnesses }}
PLACET_WITNESSES: /run/witnesses/witnesses
{{- end }}
{{- end }}
{{- end }}

{{/* The namespaces whose pods send requests to models. */}}
{{- define "placet.callers" -}}
{{- $callers := list .Release.Namespace -}}
{{- if eq .Values.routes.by "gatewayApi" -}}
{{- $callers = append $callers .Values.routes.gateway.namespace -}}
{{- end -}}
{{- concat $callers .Values.models.callers | uniq | join "," -}}
{{- end }}

{{/* Which keys of its Secret a service gets as files: what it needs, and no more. */}}
{{- define "placet.secretItems" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $keys := $root.Values.secretKeys -}}
{{- $items := dict "amqp-url" $keys.amqpUrl "database-url" $keys.databaseUrl "registry-url" $keys.registryUrl -}}
{{- if ne $name "gateway" }}{{ $_ := set $items "tokens.json" $keys.tokenKeys }}{{ end -}}
{{- if eq $name "deployer" }}{{ $_ := set $items "certificates.json" $keys.certifierKeys }}{{ end -}}
{{- if $root.Values.oidc.issuer }}{{ $_ := set $items "oidc-person-key" $keys.oidcPersonKey }}{{ end -}}
{{- if and (eq $name "gateway") $root.Values.oidc.issuer $root.Values.oidc.clientSecret -}}
{{- $_ := set $items "oidc-client-secret" $keys.oidcClientSecret -}}
{{- end -}}
{{- if and (eq $name "indexer") $root.Values.indexer.notifications }}{{ $_ := set $items "notification-token" $keys.notificationToken }}{{ end -}}
{{- range $path, $key := $items }}
- { key: {{ $key | quote }}, path: {{ $path }} }
{{- end }}
{{- end }}

{{/* Whose keys are its own: where its key lies, and where else the service looks for it, beside files that it writes. */}}
{{- define "placet.keys" -}}
{{- get (dict "gateway" "tokens.pem" "certifier" "certificates.pem" "deployer" "probe.pem /data" "metadata" "checkpoints.pem /state") . -}}
{{- end }}

{{/* A folder of its own: "/data" or "/state"; and whether it has to last. */}}
{{- define "placet.folder" -}}
{{- get (dict "builder" "/data" "deployer" "/data" "metadata" "/state") . -}}
{{- end }}

{{- define "placet.volumes" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $own := index $root.Values $name -}}
- name: tmp
  emptyDir: { sizeLimit: {{ $own.scratch }} }
- name: placet
  secret:
    secretName: {{ $own.secret }}
    defaultMode: 0440
    items:
      {{- include "placet.secretItems" . | trim | nindent 6 }}
{{- if include "placet.keys" $name }}
- name: given
  secret: { secretName: {{ $own.keysSecret }}, defaultMode: 0440 }
- name: keys
  emptyDir: { medium: Memory, sizeLimit: 1Mi }
{{- end }}
{{- if include "placet.folder" $name }}
- name: folder
  {{- if and (hasKey $own "persistence") $own.persistence.enabled }}
  persistentVolumeClaim: { claimName: {{ $own.persistence.existingClaim | default (include "placet.part" .) }} }
  {{- else }}
  emptyDir: {}
  {{- end }}
{{- end }}
{{- with $root.Values.trust.configMap }}
- name: trust
  configMap: { name: {{ . }}, items: [{ key: {{ $root.Values.trust.key | quote }}, path: ca.pem }] }
{{- end }}
{{- if $root.Values.tls.internal.enabled }}
- name: tls
  secret:
    secretName: {{ $root.Values.tls.internal.secretPrefix }}{{ $name }}
    defaultMode: 0440
    items: [{ key: tls.crt, path: tls.crt }, { key: tls.key, path: tls.key }, { key: ca.crt, path: ca.crt }]
{{- end }}
{{- if and (eq $name "metadata") $root.Values.metadata.witnesses }}
- name: witnesses
  configMap: { name: {{ $root.Values.metadata.witnesses }}, items: [{ key: witnesses, path: witnesses }] }
{{- end }}
{{- with $own.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "placet.mounts" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $own := index $root.Values $name -}}
- { name: tmp, mountPath: /tmp }
- { name: placet, mountPath: /run/placet, readOnly: true }
{{- if include "placet.keys" $name }}
- { name: keys, mountPath: /run/keys }
{{- end }}
{{- with include "placet.folder" $name }}
- { name: folder, mountPath: {{ . }} }
{{- end }}
{{- if $root.Values.trust.configMap }}
- { name: trust, mountPath: /run/trust, readOnly: true }
{{- end }}
{{- if $root.Values.tls.internal.enabled }}
- { name: tls, mountPath: /run/tls, readOnly: true }
{{- end }}
{{- if and (eq $name "metadata") $root.Values.metadata.witnesses }}
- { name: witnesses, mountPath: /run/witnesses, readOnly: true }
{{- end }}
{{- with $own.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}
