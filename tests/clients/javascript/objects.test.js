// Create, read, replace, patch and delete.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { config, core, eventually, k8s, ownNamespace, refused } from './cluster.js';

const apps = config.makeApiClient(k8s.AppsV1Api);
const own = ownNamespace();

test('a ConfigMap from birth to death', async () => {
    const where = { namespace: own.name };
    const named = { name: 'settings', ...where };
    const body = { metadata: { name: 'settings' }, data: { colour: 'blue' } };
    const made = await core.createNamespacedConfigMap({ ...where, body });
    assert.deepEqual(made.data, { colour: 'blue' });
    assert.ok(made.metadata.creationTimestamp instanceof Date);
    assert.deepEqual(await core.readNamespacedConfigMap(named), made);

    const changed = { ...made, data: { colour: 'green' } };
    const replaced = await core.replaceNamespacedConfigMap({ ...named, body: changed });
    assert.equal(replaced.data.colour, 'green');
    // The first answer is out of date now.
    await refused(
        409,
        'Conflict',
        core.replaceNamespacedConfigMap({ ...named, body: { ...made, data: { colour: 'red' } } }),
    );
    await refused(409, 'AlreadyExists', core.createNamespacedConfigMap({ ...where, body }));

    const gone = await core.deleteNamespacedConfigMap(named);
    assert.equal(gone.status, 'Success');
    await refused(404, 'NotFound', core.readNamespacedConfigMap(named));
});

test('lists in chunks', async () => {
    const namespace = own.name;
    const names = Array.from({ length: 5 }, (_, number) => `chunk-${number}`);
    for (const name of names) {
        const body = { metadata: { name, labels: { part: 'chunk' } }, stringData: { a: 'b' } };
        await core.createNamespacedSecret({ namespace, body });
    }
    const found = [];
    let _continue;
    do {
        const ask = { namespace, labelSelector: 'part=chunk', limit: 2, _continue };
        const page = await core.listNamespacedSecret(ask);
        assert.ok(page.items.length <= 2);
        found.push(...page.items.map((item) => item.metadata.name));
        _continue = page.metadata._continue;
    } while (_continue);
    assert.deepEqual(found, names);
});

test('a Deployment, its scale and its patches', async () => {
    const where = { name: 'none', namespace: own.name };
    const labels = { app: 'none' };
    const containers = [
        { name: 'a', image: 'test/a:v1' },
        { name: 'b', image: 'test/b:v1' },
    ];
    const spec = {
        replicas: 0,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers } },
    };
    const body = { metadata: { name: 'none' }, spec };
    const made = await apps.createNamespacedDeployment({ namespace: own.name, body });
    assert.equal(made.spec.strategy.type, 'RollingUpdate');
    const scale = await apps.readNamespacedDeploymentScale(where);
    assert.equal(scale.status.selector, 'app=none');

    const patch = (strategy, body) =>
        apps.patchNamespacedDeployment(
            { ...where, body },
            k8s.setHeaderOptions('Content-Type', strategy),
        );
    const images = (answer) => answer.spec.template.spec.containers.map((each) => each.image);
    const newer = { spec: { template: { spec: { containers: [{ name: 'b', image: 'test/b:v2' }] } } } };
    const merged = await patch(k8s.PatchStrategy.StrategicMergePatch, newer);
    assert.deepEqual(images(merged).sort(), ['test/a:v1', 'test/b:v2']);
    const steps = [{ op: 'add', path: '/metadata/labels', value: { x: 'y' } }];
    const stepped = await patch(k8s.PatchStrategy.JsonPatch, steps);
    assert.deepEqual(stepped.metadata.labels, { x: 'y' });
    const replaced = await patch(k8s.PatchStrategy.MergePatch, newer);
    assert.deepEqual(images(replaced), ['test/b:v2']);

    await apps.deleteNamespacedDeployment(where);
    await eventually('the Deployment is gone', async () => {
        const left = await apps.listNamespacedDeployment({ namespace: own.name });
        return left.items.length === 0;
    });
});

test('what is wrong is told with its path', async () => {
    const body = { metadata: { name: 'Wrong_Name' }, spec: { containers: [] } };
    const status = await refused(
        422,
        'Invalid',
        core.createNamespacedPod({ namespace: own.name, body }),
    );
    const fields = status.details.causes.map((cause) => cause.field);
    assert.deepEqual(fields, ['metadata.name', 'spec.containers']);
});
