"""The life that objects of most kinds lead: many behaviours are this, once per kind."""


def operations(case, resource, make, *, spec=None, status=None, collection=True):
    """Every verb of a resource, on three objects.

    `make(name)` gives an object. `spec` is a merge patch of what may change besides annotations,
    `status` one of the status, for resources that have that subresource.
    """
    entry = case.served(resource, *(["status"] if status else []))
    case.assertTrue({"create", "get", "list", "watch", "patch", "update", "delete",
                     "deletecollection"} <= set(entry["verbs"]), entry)
    label = case.unique("operations")
    select = {"labelSelector": f"conformance={label}"}

    def labelled(name):
        made = make(name)
        made["metadata"].setdefault("labels", {})["conformance"] = label
        return made

    names = [case.unique("one") for _ in range(3)]
    for name in names:
        made = resource.create(labelled(name))
        case.addCleanup(forget, resource, name)
        case.assertEqual(made["metadata"]["name"], name)
    with case.refused(409, "already exists"):
        resource.create(labelled(names[0]))
    name = names[0]
    case.assertEqual(resource.get(name)["metadata"]["labels"]["conformance"], label)
    case.assertEqual(resource.names(**select), sorted(names))
    case.assertEqual(resource.everywhere().names(**select), sorted(names))

    version = resource.list(**select)["metadata"]["resourceVersion"]
    with resource.watch(resourceVersion=version, **select) as watch:
        patched = resource.patch(name, {"metadata": {"annotations": {"patched": "true"}}})
        case.assertEqual(patched["metadata"]["annotations"]["patched"], "true")
        watch.until("MODIFIED", "the patch", lambda it: "patched" in annotations(it))
        updated = resource.change(name, lambda it: annotations(it).update(updated="true"))
        case.assertEqual(updated["metadata"]["annotations"]["updated"], "true")
        watch.until("MODIFIED", "the update", lambda it: "updated" in annotations(it))
        if spec:
            contained(case, spec, resource.patch(name, spec))
        if status:
            statuses(case, resource, name, status)
        resource.delete(name)
        if "finalizers" not in updated["metadata"]:
            case.gone(resource, name)
        watch.until("DELETED", "the deletion", lambda it: it["metadata"]["name"] == name)
    case.assertEqual(resource.names(**select), sorted(names[1:]))
    if collection:
        resource.delete_all(**select)
        resource.until_count(0, **select)


def statuses(case, resource, name, status):
    """The subresource takes the status, and nothing else takes it or is taken by it."""
    patch = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": status}
    contained(case, {"status": status}, resource.patch(name, patch, sub="status"))
    contained(case, {"status": status}, resource.get(name, sub="status"))
    kept = resource.patch(name, {"status": None})
    contained(case, {"status": status}, kept)
    contained(case, {"status": status}, resource.change(name, lambda _: None, sub="status"))


def contained(case, part, whole, path=""):
    """Asserts that every field of `part` is so in `whole`."""
    if isinstance(part, dict):
        case.assertIsInstance(whole, dict, path)
        for key, value in part.items():
            case.assertIn(key, whole, path)
            contained(case, value, whole[key], f"{path}.{key}")
    elif isinstance(part, list) and part and isinstance(part[0], dict):
        # Others may have put something beside it.
        for each in part:
            case.assertTrue(any(each.items() <= found.items() for found in whole), (path, whole))
    else:
        case.assertEqual(part, whole, path)


def annotations(found):
    return found["metadata"].setdefault("annotations", {})


def forget(resource, name):
    """Takes an object away that may be gone already."""
    try:
        resource.delete(name)
    except Exception as error:
        if getattr(error, "code", None) != 404:
            raise
