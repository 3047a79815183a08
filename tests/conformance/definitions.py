"""CustomResourceDefinitions of a test, and the objects they bring."""

from kube import Refused, eventually
from case import condition

EXTENSIONS = "apiextensions.k8s.io/v1"

# What a schema says that keeps everything.
ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def version(name, schema=None, *, served=True, storage=True, **more):
    schema = schema or ANYTHING
    return {"name": name, "served": served, "storage": storage,
            "schema": {"openAPIV3Schema": schema}, **more}


def definition(group, plural, versions, scope="Namespaced"):
    singular = plural[:-1]
    return {
        "apiVersion": EXTENSIONS, "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": scope, "versions": versions, "names": {
            "plural": plural, "singular": singular, "kind": singular.capitalize(),
            "listKind": f"{singular.capitalize()}List"}},
    }


def define(case, made, label=None):
    """Creates the definition, waits until it is served, and removes it with the test."""
    definitions = case.cluster(EXTENSIONS, "customresourcedefinitions")
    if label:
        made["metadata"]["labels"] = {"conformance": label}
    name = definitions.create(made)["metadata"]["name"]
    case.addCleanup(remove, definitions, name)
    definitions.until(
        name, "established", lambda it: condition(it, "Established").get("status") == "True")
    for each in made["spec"]["versions"]:
        if each["served"]:
            until_served(case, made["spec"]["group"], each["name"], made["spec"]["names"]["plural"])
    return name


def custom(case, made, name=None):
    """The resource of a definition at the version, in the test's namespace."""
    spec = made["spec"]
    return case.api.resource(
        f"{spec['group']}/{name or spec['versions'][0]['name']}", spec["names"]["plural"],
        case.namespace if spec["scope"] == "Namespaced" else None)


def until_served(case, group, version_, plural):
    def look():
        try:
            found = case.api.get(f"/apis/{group}/{version_}")["resources"]
        except Refused as refused:
            if refused.code != 404:
                raise
            return False
        return plural in [each["name"] for each in found]
    eventually(f"{group}/{version_} {plural} is served", look)


def remove(definitions, name):
    try:
        definitions.delete(name)
    except Refused as refused:
        if refused.code != 404:
            raise
