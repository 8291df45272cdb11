"""Settings of the service, read without importing Ray or FastAPI."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mover_ray.config import check_at_least, from_mapping
from mover_ray.errors import ConfigError

#: Signatures that only the issuer can make: a shared secret would let the service, or whoever
#: reads its settings, make tokens.
_ASYMMETRIC: Final = frozenset(
    f"{family}{bits}" for family in ("RS", "PS", "ES") for bits in (256, 384, 512)
) | {"EdDSA"}

#: Stands in prefixes and datasets for the name of the tenant that asks.
TENANT: Final = "{tenant}"


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenConfig:
    """Whose tokens (OpenID Connect, JWT) are accepted. Without an issuer none are."""

    issuer: str = ""
    """What the claim `iss` must be."""
    audience: str = ""
    """What the claim `aud` must name: this service."""
    keys: str = ""
    """The issuer's public keys, a JWK set: a file, or an `https://` address. Keys and addresses
    that a token itself names are never used."""
    algorithms: tuple[str, ...] = ("RS256", "ES256")
    """Accepted signatures, asymmetric ones only."""
    tenant_claim: str = "sub"
    """The claim that names the tenant."""
    scope_claim: str = "scope"
    """The claim that lists the scopes, separated by spaces or as an array."""
    leeway_s: float = 30.0
    """How far the issuer's clock may be off."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        weak = sorted(set(self.algorithms) - _ASYMMETRIC)
        if weak:
            hint = "choose among " + ", ".join(f"`{name}`" for name in sorted(_ASYMMETRIC))
            raise ConfigError(f"not acceptable as token algorithm: `{weak[0]}`", hint=hint)
        if self.issuer and not (self.audience and self.keys and self.algorithms):
            raise ConfigError("tokens need `issuer`, `audience`, `keys` and `algorithms`")
        if "://" in self.keys and not self.keys.startswith("https://"):
            raise ConfigError(f"keys of tokens come from a file or over https: `{self.keys}`")
        check_at_least(self, "leeway_s", 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitsConfig:
    """What one tenant, and all of them together, may ask for."""

    upload_bytes: int = 256 * 2**20
    """Largest request body; above is 413. An upload is in memory while it is handed on."""
    body_idle_s: float = 15.0
    """Longest pause between two pieces of a body; above is 408."""
    body_s: float = 300.0
    """Longest time for a whole body; above is 408."""
    in_flight: int = 4
    """Scorings under way at a time, in each ingress replica; above is 429, before the body is
    read. It bounds the wait of those that are accepted: four a decoder keep every process busy
    and make the wait some four times that of a service at ease."""
    rate_per_minute: float = 1200.0
    """Requests a minute of one tenant over a longer time; above is 429."""
    burst: int = 100
    """Requests of one tenant that may come at once."""
    wait_s: float = 25.0
    """A scoring that takes longer answers 202 with a job and goes on."""
    job_s: float = 900.0
    """A scoring that takes longer is given up: 503, or a failed job."""
    keep_s: float = 86_400.0
    """How long finished jobs and idempotency keys are kept."""
    retry_after_s: int = 2
    """What `Retry-After` says."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        for name in ("upload_bytes", "in_flight", "burst", "retry_after_s"):
            check_at_least(self, name, 1)
        for name in ("body_idle_s", "body_s", "job_s", "keep_s", "rate_per_minute"):
            check_at_least(self, name, 0.001)
        check_at_least(self, "wait_s", 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplicasConfig:
    """How many processes do the work, and what each reserves of the cluster."""

    ingress: int = 1
    """Replicas that speak HTTP. More than one need `state` at a place that they share."""
    decoders_min: int = 1
    """Decoding replicas that always run."""
    decoders_max: int = 1
    """Decoding replicas under load."""
    decoder_cpus: float = 1.0
    """CPUs of one decoding replica."""
    scorers_min: int = 1
    """Scoring replicas that always run."""
    scorers_max: int = 1
    """Scoring replicas under load."""
    scorer_cpus: float = 1.0
    """CPUs of one scoring replica; `scoring.threads` should not be more."""
    scorer_gpus: float = 0.0
    """GPUs of one scoring replica."""
    batch_frames: int = 64
    """Faces that are scored together at most; one video with more is scored alone."""
    batch_wait_s: float = 0.01
    """How long a face waits for others to be scored with."""
    drain_s: float = 60.0
    """How long a replica that is being stopped may finish what it has begun."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        for name in ("ingress", "decoders_min", "scorers_min", "batch_frames"):
            check_at_least(self, name, 1)
        check_at_least(self, "decoders_max", self.decoders_min)
        check_at_least(self, "scorers_max", self.scorers_min)
        for name in ("decoder_cpus", "scorer_cpus", "scorer_gpus", "batch_wait_s", "drain_s"):
            check_at_least(self, name, 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScansConfig:
    """Where archive jobs run and what they may write. Without an address there are none."""

    address: str = ""
    """Address of the Ray cluster's job server, such as `http://127.0.0.1:8265`."""
    dest: str = ""
    """Prefix below which each scan gets a folder of its own; `{tenant}` is put in."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` if only one half is given."""
        if bool(self.address) != bool(self.dest):
            raise ConfigError("`scans` needs both `address` and `dest`")


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeConfig:
    """Every setting of the service: the table `[serve]`, or `args` in serve.yaml."""

    models: dict[str, str] = field(default_factory=dict)
    """Bundles by the name that requests give; the first one is the default."""
    allow_untrained: bool = False
    """Accept models with random weights."""
    keys_file: str = ""
    """File of API keys, as `mover-ray keys` keeps it; empty: no key is accepted."""
    tokens: TokenConfig = field(default_factory=TokenConfig)
    """Whose tokens are accepted."""
    uri_prefixes: tuple[str, ...] = ()
    """`s3://bucket/prefix/` below which videos may be named by uri; `{tenant}` is put in."""
    datasets: dict[str, str] = field(default_factory=dict)
    """Results of `score` by the name that requests give; `{tenant}` is put in."""
    state: str = ""
    """Folder or `s3://` prefix for jobs and idempotency keys; empty: a folder for temporary
    files that goes when the replica goes."""
    audit_log: str = ""
    """File that a line of JSON is added to for every request; empty: stderr."""
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    """What may be asked for."""
    replicas: ReplicasConfig = field(default_factory=ReplicasConfig)
    """How many processes do the work."""
    scans: ScansConfig = field(default_factory=ScansConfig)
    """Archive jobs."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The settings of `mover-ray score`, with which every video is scored."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        if not self.models:
            raise ConfigError("no model to serve", hint="`--model BUNDLE`, or `serve.models.NAME`")
        for name in ("models", "datasets"):
            _check_texts(name, getattr(self, name))
        for prefix in self.uri_prefixes:
            if not prefix.startswith("s3://") or not prefix.endswith("/"):
                hint = "write `s3://bucket/prefix/`; the slash keeps `a/run10` out of `a/run1`"
                raise ConfigError(f"not a prefix of stored videos: `{prefix}`", hint=hint)
        if self.replicas.ingress > 1 and not self.state:
            raise ConfigError("several ingress replicas need a `state` that they share")

    @property
    def default_model(self) -> str:
        """The name of the model that scores where a request names none."""
        return next(iter(self.models))


def read_config(settings: Mapping[str, Any]) -> ServeConfig:
    """Gives the settings of the service.

    Raises:
        ConfigError: One of them is wrong.
    """
    return from_mapping(ServeConfig, settings, "serve")


def _check_texts(name: str, table: Mapping[str, Any]) -> None:
    for key, value in table.items():
        if not isinstance(value, str) or not value:
            raise ConfigError(f"`serve.{name}.{key}` has the wrong type: `{value!r}`")
