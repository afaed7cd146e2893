{{- define "jmpub.name" -}}
{{- if contains "jmpub" .Release.Name -}}{{ .Release.Name | trunc 63 | trimSuffix "-" }}{{- else -}}{{ printf "%s-jmpub" .Release.Name | trunc 63 | trimSuffix "-" }}{{- end -}}
{{- end }}

{{- define "jmpub.selector" -}}
app.kubernetes.io/name: jmpub
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "jmpub.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{ include "jmpub.selector" . }}
{{- end }}

{{- /* 85 % of the container's memory, in MiB. */}}
{{- define "jmpub.softMemory" -}}
{{- $limit := . -}}
{{- $mib := trimSuffix "Mi" $limit | int -}}
{{- if hasSuffix "Gi" $limit }}{{ $mib = mul 1024 (trimSuffix "Gi" $limit | int) }}{{ end -}}
{{- div (mul $mib 85) 100 }}MiB
{{- end }}

{{- /* What the schema cannot say. */}}
{{- define "jmpub.check" -}}
{{- $many := or .Values.appsFile.secret .Values.appsFile.configMap -}}
{{- if not (regexMatch "^[a-z][-a-z0-9]*$" .Release.Name) }}
{{- fail (printf "release %s: its name becomes that of a Service, which begins with a letter and has no dot" .Release.Name) }}
{{- end }}
{{- if and .Values.appsFile.secret .Values.appsFile.configMap }}
{{- fail "appsFile: name a secret or a configMap, not both" }}
{{- end }}
{{- if not (or (hasKey .Values.settings "JMPUB_KAFKA_BROKERS") (hasKey .Values.secretEnv "JMPUB_KAFKA_BROKERS")) }}
{{- fail "settings.JMPUB_KAFKA_BROKERS is missing: host:port, comma-separated" }}
{{- end }}
{{- $one := and (or (hasKey .Values.settings "JMPUB_APP_KEY") (hasKey .Values.secretEnv "JMPUB_APP_KEY")) (or (hasKey .Values.secretFiles "JMPUB_MASTER_SECRET_FILE") (hasKey .Values.secretEnv "JMPUB_MASTER_SECRET")) -}}
{{- if not (or $many $one) }}
{{- fail "no app: give settings.JMPUB_APP_KEY and secretFiles.JMPUB_MASTER_SECRET_FILE (a key of a Secret), or many apps by appsFile" }}
{{- end }}
{{- range $name := list "JMPUB_LISTEN" "JMPUB_APPS_FILE" "JMPUB_CHECKPOINT" }}
{{- if or (hasKey $.Values.settings $name) (hasKey $.Values.secretEnv $name) (hasKey $.Values.secretFiles $name) }}
{{- fail (printf "settings.%s: the chart sets it itself; positions are in Kafka, and a file of apps comes by appsFile" $name) }}
{{- end }}
{{- end }}
{{- if eq (get .Values.settings "JMPUB_GROUP") "off" }}
{{- fail "settings.JMPUB_GROUP: off would have the processes replace each other for ever; give it a name, or leave it out" }}
{{- end }}
{{- range $name, $_ := .Values.secretEnv }}
{{- if or (hasKey $.Values.settings $name) (hasKey $.Values.secretFiles $name) }}
{{- fail (printf "secretEnv.%s: it is among settings or secretFiles too, and a container's environment has a name once" $name) }}
{{- end }}
{{- end }}
{{- range $name, $_ := .Values.settings }}
{{- if hasKey $.Values.secretFiles $name }}
{{- fail (printf "settings.%s: it is among secretFiles too, and a container's environment has a name once" $name) }}
{{- end }}
{{- if regexMatch "(SECRET|PASSWORD|TOKEN)$" $name }}
{{- fail (printf "settings.%s: a secret does not belong among the values; name a key of a Secret in secretFiles.%s_FILE, or in secretEnv" $name $name) }}
{{- end }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled .Values.networkPolicy.enabled (not .Values.networkPolicy.ingressFrom) }}
{{- fail "serviceMonitor.enabled: Prometheus would be kept out; name it in networkPolicy.ingressFrom, or set networkPolicy.enabled=false" }}
{{- end }}
{{- end }}
