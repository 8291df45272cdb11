"""The manifests for Kubernetes: what kustomize makes of them, against the schemas, and safe."""

import functools
import json
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from mover_ray.config import from_mapping
from mover_ray.pipelines.score import ScoreOptions
from mover_ray.pipelines.train import TrainOptions
from mover_ray.serving.config import read_config
from tests.infra.kuberay_schema import SPECS

ROOT = Path(__file__).parents[2]
OVERLAYS = ROOT / "cluster" / "kuberay" / "overlays"
NAMES = sorted(path.name for path in OVERLAYS.iterdir())
KUBERNETES = "1.34"
#: Kinds of other operators; their own fields are few and are checked below.
OTHERS = {"Issuer", "Certificate", "PodMonitor"}

Document = dict[str, Any]


@functools.cache
def built(overlay: str) -> list[Document]:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no kubectl, which has kustomize in it")
    made = subprocess.run(
        [kubectl, "kustomize", OVERLAYS / overlay], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    return list(yaml.safe_load_all(made.stdout))


@functools.cache  # overlays share most of their objects
def validate(document: str) -> None:
    kubernetes_validate.validate(json.loads(document), KUBERNETES, strict=True)


def ray_object(overlay: str) -> Document:
    (found,) = [each for each in built(overlay) if each["apiVersion"] == "ray.io/v1"]
    return found


def cluster_of(overlay: str) -> Document:
    spec = ray_object(overlay)["spec"]
    return dict(spec.get("rayClusterSpec") or spec.get("rayClusterConfig") or spec)


def groups(overlay: str) -> Iterator[Document]:
    cluster = cluster_of(overlay)
    yield cluster["headGroupSpec"]
    yield from cluster["workerGroupSpecs"]


def containers(overlay: str) -> Iterator[Document]:
    for group in groups(overlay):
        pod = group["template"]["spec"]
        yield from pod["initContainers"] + pod["containers"]
    submitter = ray_object(overlay)["spec"].get("submitterPodTemplate")
    if submitter:  # the namespace would refuse KubeRay's own
        yield from submitter["spec"]["containers"]


@pytest.mark.parametrize("overlay", NAMES)
def test_every_object_fits_its_schema(overlay):
    for document in built(overlay):
        if document["apiVersion"] == "ray.io/v1":
            jsonschema.validate(document["spec"], SPECS[document["kind"]])
        elif document["kind"] not in OTHERS:
            validate(json.dumps(document))


@pytest.mark.parametrize("overlay", NAMES)
def test_every_pod_fits_the_schema_of_pods(overlay):
    for group in groups(overlay):
        pod = {"apiVersion": "v1", "kind": "Pod", **group["template"]}
        pod["metadata"] = {"name": "pod", **pod["metadata"]}
        validate(json.dumps(pod))


def test_the_schemas_find_a_misspelt_field():
    cluster = cluster_of("cluster")
    broken = {**cluster, "workerGroupSpecs": [{**cluster["workerGroupSpecs"][0], "minReplica": 1}]}
    with pytest.raises(jsonschema.ValidationError, match="minReplica"):
        jsonschema.validate(broken, SPECS["RayCluster"])
    pod = {**cluster["headGroupSpec"]["template"], "apiVersion": "v1", "kind": "Pod"}
    pod["spec"] = {**pod["spec"], "terminationGracePeriod": 5}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)


@pytest.mark.parametrize("overlay", NAMES)
def test_one_ray_object_stands_alone_with_token_and_head_without_work(overlay):
    cluster = cluster_of(overlay)
    assert cluster["rayVersion"] == metadata.version("ray")
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


@pytest.mark.parametrize("overlay", NAMES)
def test_containers_are_locked_up_and_name_an_image_with_a_tag(overlay):
    for container in containers(overlay):
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"]
        assert context["runAsNonRoot"]
        assert not context["allowPrivilegeEscalation"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert ":" in container["image"], "kustomize does not know this place of an image"


@pytest.mark.parametrize("overlay", NAMES)
def test_ray_speaks_tls_and_nodes_drain_within_their_grace(overlay):
    for group in groups(overlay):
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert {"name": "RAY_USE_TLS", "value": "1"} in container["env"]
        command = container["lifecycle"]["preStop"]["exec"]["command"]
        assert int(command[-1]) < pod["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("overlay", NAMES)
def test_what_ray_reserves_is_what_the_pod_has(overlay):
    for group in cluster_of(overlay)["workerGroupSpecs"]:
        (container,) = group["template"]["spec"]["containers"]
        resources = container["resources"]
        assert resources["requests"] == resources["limits"]
        assert resources["limits"]["cpu"] == group["rayStartParams"]["num-cpus"]
        gpus = resources["limits"].get("nvidia.com/gpu")
        assert gpus == group["rayStartParams"].get("num-gpus")
        assert ("-gpu" in container["image"]) == (gpus is not None)
        # A decoding worker needs up to 3 GiB, and there is one for each CPU.
        memory_gib = int(resources["limits"]["memory"].removesuffix("Gi"))
        assert memory_gib >= 3 * int(resources["limits"]["cpu"])
        assert group["minReplicas"] >= 1, "pools are planned for the nodes that are there"


def test_only_cpu_scans_do_without_gpus():
    with_gpus = {
        name
        for name in NAMES
        if any("-gpu" in container["image"] for container in containers(name))
    }
    assert with_gpus == set(NAMES) - {"scan-cpu"}


@pytest.mark.parametrize("overlay", NAMES)
def test_the_namespace_lets_in_only_what_is_named(overlay):
    policies = {
        each["metadata"]["name"]: each["spec"]
        for each in built(overlay)
        if each["kind"] == "NetworkPolicy"
    }
    assert policies["deny-all"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for rule in policies["ray-nodes"]["ingress"]:
        assert all("ipBlock" not in peer for peer in rule["from"])
    ports = [
        port["port"] for rule in policies["ray-nodes"]["egress"] for port in rule.get("ports", [])
    ]
    assert set(ports) == {53, 80, 443}
    labels = [group["template"]["metadata"]["labels"] for group in groups(overlay)]
    chosen = policies["ray-nodes"]["podSelector"]["matchLabels"]
    assert all(chosen.items() <= each.items() for each in labels)


def test_the_entry_points_and_their_specs_are_what_the_code_takes():
    for overlay, options, module in (
        ("scan", ScoreOptions, "mover_ray.jobs.score_videos"),
        ("train", TrainOptions, "mover_ray.jobs.finetune_detector"),
    ):
        (config,) = [each for each in built(overlay) if each["kind"] == "ConfigMap"]
        entry = ray_object(overlay)["spec"]["entrypoint"].split()
        assert entry[:3] == ["python", "-m", module]
        assert (ROOT / "jobs" / f"{module.rpartition('.')[2]}.py").is_file()
        from_mapping(options, tomllib.loads(config["data"][Path(entry[3]).name]))


def test_the_service_is_what_the_code_takes():
    config = yaml.safe_load(ray_object("service")["spec"]["serveConfigV2"])
    (application,) = config["applications"]
    read_config(application["args"])
    assert application["import_path"] == "mover_ray.serving.deployments:build"
