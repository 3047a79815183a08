// A kind that a CustomResourceDefinition brings.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { config, eventually, k8s, ownNamespace, refused } from './cluster.js';

const group = 'javascript.example.com';
const name = `gadgets.${group}`;
const extensions = config.makeApiClient(k8s.ApiextensionsV1Api);
const custom = config.makeApiClient(k8s.CustomObjectsApi);
const own = ownNamespace();
const where = () => ({ group, version: 'v1', namespace: own.name, plural: 'gadgets' });

before(async () => {
    const size = { type: 'integer', minimum: 1 };
    const spec = { type: 'object', required: ['size'], properties: { size } };
    const openAPIV3Schema = { type: 'object', properties: { spec } };
    const version = { name: 'v1', served: true, storage: true, schema: { openAPIV3Schema } };
    const names = { plural: 'gadgets', kind: 'Gadget' };
    await extensions.createCustomResourceDefinition({
        body: {
            metadata: { name },
            spec: { group, scope: 'Namespaced', names, versions: [version] },
        },
    });
    await eventually('the kind is served', () =>
        custom.listNamespacedCustomObject(where()).catch((error) => {
            assert.equal(error.code, 404);
        }),
    );
});
after(() => extensions.deleteCustomResourceDefinition({ name }));

function gadget(name, size) {
    return { apiVersion: `${group}/v1`, kind: 'Gadget', metadata: { name }, spec: { size } };
}

test('an informer of custom objects', async () => {
    await custom.createNamespacedCustomObject({ ...where(), body: gadget('one', 1) });
    const path = `/apis/${group}/v1/namespaces/${own.name}/gadgets`;
    const list = () => custom.listNamespacedCustomObject(where());
    const informer = k8s.makeInformer(config, path, list);
    const seen = [];
    for (const verb of ['add', 'update', 'delete']) {
        informer.on(verb, (object) => seen.push(`${verb} ${object.metadata.name}`));
    }
    await informer.start();
    await custom.createNamespacedCustomObject({ ...where(), body: gadget('two', 2) });
    await custom.patchNamespacedCustomObject(
        { ...where(), name: 'one', body: { spec: { size: 3 } } },
        k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.MergePatch),
    );
    await custom.deleteNamespacedCustomObject({ ...where(), name: 'two' });
    await eventually('two is forgotten', () => seen.includes('delete two'));
    await informer.stop();
    assert.deepEqual(seen, ['add one', 'add two', 'update one', 'delete two']);
    assert.equal(informer.get('one', own.name).spec.size, 3);
});

test('the schema is kept to', async () => {
    const status = await refused(
        422,
        'Invalid',
        custom.createNamespacedCustomObject({ ...where(), body: gadget('none', 0) }),
    );
    assert.equal(status.details.causes[0].field, 'spec.size');
});

test('apply finds the kind by discovery', async () => {
    const objects = k8s.KubernetesObjectApi.makeApiClient(config);
    const object = gadget('applied', 5);
    object.metadata.namespace = own.name;
    const { ServerSideApply } = k8s.PatchStrategy;
    const applied = await objects.patch(
        object,
        undefined,
        undefined,
        'javascript',
        false,
        ServerSideApply,
    );
    assert.equal(applied.spec.size, 5);
    assert.equal(applied.metadata.managedFields[0].manager, 'javascript');
});
