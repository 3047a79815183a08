// List and watch: the client's own informer, and its bare watch.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { PassThrough } from 'node:stream';

import { config, core, eventually, k8s, ownNamespace } from './cluster.js';

const own = ownNamespace();

test('an informer follows', async () => {
    const namespace = own.name;
    const labelSelector = 'part=informer';
    const make = (name) =>
        core.createNamespacedConfigMap({
            namespace,
            body: { metadata: { name, labels: { part: 'informer' } } },
        });
    await make('early');
    const informer = k8s.makeInformer(
        config,
        `/api/v1/namespaces/${namespace}/configmaps`,
        () => core.listNamespacedConfigMap({ namespace, labelSelector }),
        labelSelector,
    );
    const seen = [];
    for (const verb of ['add', 'update', 'delete']) {
        informer.on(verb, (object) => seen.push(`${verb} ${object.metadata.name}`));
    }
    const failures = [];
    informer.on('error', (error) => failures.push(error));
    await informer.start();
    await eventually('early is known', () => seen.includes('add early'));
    await make('late');
    await core.patchNamespacedConfigMap(
        { name: 'early', namespace, body: { data: { a: 'b' } } },
        k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.MergePatch),
    );
    await core.deleteNamespacedConfigMap({ name: 'early', namespace });
    await eventually('early is forgotten', () => seen.includes('delete early'));
    // Being stopped is a failure to it.
    assert.deepEqual(failures, []);
    await informer.stop();
    assert.deepEqual(seen, ['add early', 'add late', 'update early', 'delete early']);
    assert.deepEqual(
        informer.list(namespace).map((object) => object.metadata.name),
        ['late'],
    );
});

test('a watch begins after the version that it names', async () => {
    const namespace = own.name;
    const make = (name) =>
        core.createNamespacedServiceAccount({ namespace, body: { metadata: { name } } });
    const { metadata } = await make('before');
    await make('after');
    const seen = [];
    const watch = new k8s.Watch(config);
    const query = { resourceVersion: metadata.resourceVersion, allowWatchBookmarks: true };
    let watching;
    const ended = new Promise((resolve, reject) => {
        const event = (type, object) => {
            // The namespace's own account comes when it comes.
            if (object.metadata.name !== 'default' && type !== 'BOOKMARK') {
                seen.push(`${type} ${object.metadata.name}`);
                resolve();
            }
        };
        const path = `/api/v1/namespaces/${namespace}/serviceaccounts`;
        watching = watch.watch(path, query, event, (error) => error && reject(error));
    });
    await ended;
    (await watching).abort();
    assert.deepEqual(seen, ['ADDED after']);
});

test('the log of a pod', async () => {
    const namespace = own.name;
    await eventually('the namespace has its service account', async () => {
        const accounts = await core.listNamespacedServiceAccount({ namespace });
        return accounts.items.some((account) => account.metadata.name === 'default');
    });
    const container = { name: 'c', image: 'test/spin:v1', args: ['log', '3'] };
    const spec = { restartPolicy: 'Never', containers: [container] };
    await core.createNamespacedPod({ namespace, body: { metadata: { name: 'talker' }, spec } });
    await eventually('the pod has ended', async () => {
        const pod = await core.readNamespacedPod({ name: 'talker', namespace });
        return pod.status.phase === 'Succeeded';
    });
    const text = await core.readNamespacedPodLog({ name: 'talker', namespace });
    assert.equal(text.trimEnd().split('\n').length, 3);

    const stream = new PassThrough();
    const chunks = [];
    stream.on('data', (chunk) => chunks.push(chunk));
    const end = once(stream, 'end');
    const log = new k8s.Log(config);
    await log.log(namespace, 'talker', 'c', stream, { follow: true });
    await end;
    assert.equal(Buffer.concat(chunks).toString(), text);
});
