"""What KubeRay 1.7 takes for objects of `ray.io/v1`, as JSON schemas.

Unknown fields are errors, as with `kubectl apply --validate=strict`. Pod templates
are Kubernetes' own and are checked as pods.
"""

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
LIST: Schema = {"type": "array"}
TREE: Schema = {"type": "object"}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}


def choice(*names: str) -> Schema:
    return {"enum": list(names)}


def record(required: str = "", **fields: Schema) -> Schema:
    return {
        "type": "object",
        "properties": fields,
        "required": required.split(),
        "additionalProperties": False,
    }


_GROUP = {
    "rayStartParams": TEXTS,
    "template": TREE,
    "resources": TEXTS,
    "labels": TEXTS,
}

CLUSTER_SPEC = record(
    "headGroupSpec",
    rayVersion=TEXT,
    authOptions=record(mode=choice("token", "disabled"), secretName=TEXT, enableK8sTokenAuth=FLAG),
    tlsOptions=TREE,
    networkPolicy=TREE,
    enableInTreeAutoscaling=FLAG,
    autoscalerOptions=record(
        version=choice("v1", "v2"),
        idleTimeoutSeconds=NUMBER,
        upscalingMode=choice("Default", "Aggressive", "Conservative"),
        resources=TREE,
        image=TEXT,
        imagePullPolicy=TEXT,
        securityContext=TREE,
        env=LIST,
        envFrom=LIST,
        volumeMounts=LIST,
    ),
    gcsFaultToleranceOptions=TREE,
    headServiceAnnotations=TEXTS,
    headGroupSpec=record(
        "template", serviceType=TEXT, headService=TREE, enableIngress=FLAG, **_GROUP
    ),
    workerGroupSpecs={
        "type": "array",
        "items": record(
            "groupName template",
            groupName=TEXT,
            replicas=NUMBER,
            minReplicas=NUMBER,
            maxReplicas=NUMBER,
            idleTimeoutSeconds=NUMBER,
            priority=NUMBER,
            numOfHosts=NUMBER,
            scaleStrategy=TREE,
            **_GROUP,
        ),
    },
    upgradeStrategy=TREE,
    suspend=FLAG,
    managedBy=TEXT,
    historyServerOptions=TREE,
)

SPECS: dict[str, Schema] = {
    "RayCluster": CLUSTER_SPEC,
    "RayJob": record(
        "",
        entrypoint=TEXT,
        runtimeEnvYAML=TEXT,
        submissionMode=choice("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"),
        backoffLimit=NUMBER,
        activeDeadlineSeconds=NUMBER,
        preRunningDeadlineSeconds=NUMBER,
        shutdownAfterJobFinishes=FLAG,
        ttlSecondsAfterFinished=NUMBER,
        deletionStrategy=TREE,
        clusterSelector=TEXTS,
        metadata=TEXTS,
        suspend=FLAG,
        jobId=TEXT,
        managedBy=TEXT,
        entrypointNumCpus={"type": "number"},
        entrypointNumGpus={"type": "number"},
        entrypointResources=TEXT,
        submitterPodTemplate=TREE,
        submitterConfig=TREE,
        rayClusterSpec=CLUSTER_SPEC,
    ),
    "RayService": record(
        "",
        serveConfigV2=TEXT,
        rayClusterConfig=CLUSTER_SPEC,
        serveService=TREE,
        excludeHeadPodFromServeSvc=FLAG,
        upgradeStrategy=record(
            type=choice("NewCluster", "NewClusterWithIncrementalUpgrade", "None"),
            clusterUpgradeOptions=TREE,
        ),
    ),
}
