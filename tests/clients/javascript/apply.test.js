// Server-side apply of kinds that the client finds by discovery.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { config, k8s, ownNamespace, refused } from './cluster.js';

const objects = k8s.KubernetesObjectApi.makeApiClient(config);
const own = ownNamespace();

function apply(object, manager, force = false) {
    const { ServerSideApply } = k8s.PatchStrategy;
    return objects.patch(object, undefined, undefined, manager, force, ServerSideApply);
}

function settings(data) {
    const metadata = { name: 'shared', namespace: own.name };
    return { apiVersion: 'v1', kind: 'ConfigMap', metadata, data };
}

test('two appliers share an object', async () => {
    await apply(settings({ a: '1', b: '1' }), 'one');
    const both = await apply(settings({ c: '2' }), 'two');
    assert.deepEqual(both.data, { a: '1', b: '1', c: '2' });
    const managers = both.metadata.managedFields.map((entry) => [entry.manager, entry.operation]);
    assert.deepEqual(managers.sort(), [
        ['one', 'Apply'],
        ['two', 'Apply'],
    ]);

    const status = await refused(409, 'Conflict', apply(settings({ a: '2' }), 'two'));
    assert.equal(status.details.causes[0].field, '.data.a');
    const forced = await apply(settings({ a: '2' }), 'two', true);
    assert.deepEqual(forced.data, { a: '2', b: '1' });
});

test('a custom manifest of several kinds', async () => {
    const metadata = { name: 'web', namespace: own.name };
    const ports = [{ port: 80, targetPort: 'http' }];
    const service = { apiVersion: 'v1', kind: 'Service', metadata, spec: { ports } };
    const rule = { http: { paths: [{ path: '/', pathType: 'Prefix', backend: {} }] } };
    rule.http.paths[0].backend.service = { name: 'web', port: { number: 80 } };
    const ingress = {
        apiVersion: 'networking.k8s.io/v1',
        kind: 'Ingress',
        metadata,
        spec: { rules: [rule] },
    };
    for (const object of [service, ingress]) {
        const applied = await apply(object, 'javascript');
        assert.equal(applied.kind, object.kind);
        const again = await apply(object, 'javascript');
        assert.equal(again.metadata.resourceVersion, applied.metadata.resourceVersion);
        const read = await objects.read(object);
        assert.equal(read.metadata.uid, applied.metadata.uid);
    }
    const listed = await objects.list('networking.k8s.io/v1', 'Ingress', own.name);
    assert.equal(listed.items.length, 1);
    const gone = await objects.delete(ingress);
    assert.equal(gone.status, 'Success');
});
