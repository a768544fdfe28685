"""Schemas of the manifests in scripts/cluster, reduced to the fields that those name.

A field that is not here is refused, as the strict validation of the API server refuses one that it
does not know. The names, the types and what is required are those of the custom resource
definition of JobSet, which holds the Job and its pods as well, and of Kubernetes' NetworkPolicy:
https://github.com/kubernetes-sigs/jobset/blob/main/config/components/crd/bases/jobset.x-k8s.io_jobsets.yaml
https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/
The values of a Job's and a pod's enumerations are from https://kubernetes.io/docs/reference/kubernetes-api/.
"""

TEXT, YES_OR_NO = {"type": "string"}, {"type": "boolean"}
COUNT = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
# A DNS label, as names of pods and of services are made of.
NAME = {"type": "string", "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}


def fields(*required, **known):
    """An object with these fields and no other."""
    return {
        "type": "object",
        "properties": known,
        "required": [*required],
        "additionalProperties": False,
    }


def items(of):
    return {"type": "array", "items": of, "minItems": 1}


def named(of):
    """An object with names of the writer's choice."""
    return {"type": "object", "additionalProperties": of}


def manifest(version, kind, spec):
    """A whole document."""
    return fields(
        "apiVersion",
        "kind",
        "metadata",
        "spec",
        apiVersion={"const": version},
        kind={"const": kind},
        metadata=fields("name", name=NAME),
        spec=spec,
    )


QUANTITIES = named({"type": "string", "pattern": r"^\d+(\.\d+)?([numkMGTPE]|[KMGTPE]i)?$"})
USER = {"type": "integer", "minimum": 0}

CONTAINER = fields(
    "name",
    "image",
    name=NAME,
    image=TEXT,
    command=items(TEXT),
    args=items(TEXT),
    env=items(fields("name", name=TEXT, value=TEXT)),
    ports=items(fields("containerPort", name=NAME, containerPort=PORT)),
    resources=fields(requests=QUANTITIES, limits=QUANTITIES),
    securityContext=fields(
        allowPrivilegeEscalation=YES_OR_NO, capabilities=fields(drop=items(TEXT))
    ),
    volumeMounts=items(fields("name", "mountPath", name=NAME, mountPath=TEXT)),
)

POD = fields(
    "containers",
    "restartPolicy",  # a Job's pods have no default
    automountServiceAccountToken=YES_OR_NO,
    restartPolicy={"enum": ["Never", "OnFailure"]},
    terminationGracePeriodSeconds=COUNT,
    securityContext=fields(
        runAsNonRoot=YES_OR_NO,
        runAsUser=USER,
        runAsGroup=USER,
        fsGroup=USER,
        seccompProfile=fields("type", type={"enum": ["RuntimeDefault", "Unconfined"]}),
    ),
    containers=items(CONTAINER),
    volumes=items(
        fields("name", name=NAME, persistentVolumeClaim=fields("claimName", claimName=TEXT))
    ),
)

JOB = fields(
    "template",
    parallelism=COUNT,
    completions=COUNT,
    completionMode={"enum": ["Indexed", "NonIndexed"]},
    backoffLimit=COUNT,
    podFailurePolicy=fields(
        "rules",
        rules=items(
            fields(
                "action",
                action={"enum": ["FailJob", "FailIndex", "Ignore", "Count"]},
                onExitCodes=fields(
                    "operator",
                    "values",
                    containerName=NAME,
                    operator={"enum": ["In", "NotIn"]},
                    values=items({"type": "integer", "minimum": 0, "maximum": 255}),
                ),
            )
        ),
    ),
    template=fields("spec", spec=POD),
)

JOBSET = manifest(
    "jobset.x-k8s.io/v1alpha2",
    "JobSet",
    fields(
        "replicatedJobs",
        network=fields(enableDNSHostnames=YES_OR_NO, subdomain=NAME),
        failurePolicy=fields(
            maxRestarts=COUNT,
            rules=items(
                fields(
                    "name",
                    "action",
                    name=TEXT,
                    action={
                        "enum": [
                            "FailJobSet",
                            "RestartJobSet",
                            "RestartJobSetAndIgnoreMaxRestarts",
                            "RestartJob",
                            "RestartJobAndIgnoreMaxRestarts",
                        ]
                    },
                    onJobFailureReasons=items(TEXT),
                )
            ),
        ),
        replicatedJobs=items(
            fields(
                "name",
                "template",
                name=NAME,
                replicas=COUNT,
                template=fields("spec", spec=JOB),
            )
        ),
    ),
)

SELECTOR = fields(matchLabels=named(TEXT))

NETWORK_POLICY = manifest(
    "networking.k8s.io/v1",
    "NetworkPolicy",
    fields(
        "podSelector",
        podSelector=SELECTOR,
        policyTypes=items({"enum": ["Ingress", "Egress"]}),
        ingress=items(
            fields(
                **{"from": items(fields(podSelector=SELECTOR))},
                ports=items(fields(port=PORT, protocol={"enum": ["TCP", "UDP", "SCTP"]})),
            )
        ),
    ),
)

OF_KIND = {"JobSet": JOBSET, "NetworkPolicy": NETWORK_POLICY}
