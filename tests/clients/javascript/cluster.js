// What every test here starts from: the server that $KUBECONFIG names and a namespace of its own.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { createRequire } from 'node:module';

// The client is installed outside of the repository; $NODE_PATH says where, as `require` wants it.
export const k8s = createRequire(import.meta.url)('@kubernetes/client-node');

// How long anything may take before a test is called broken. No statement about speed.
const PATIENCE = 90_000;

export const config = new k8s.KubeConfig();
config.loadFromDefault();
export const core = config.makeApiClient(k8s.CoreV1Api);

/** Makes a namespace for the tests of one file; its name is there once they run. */
export function ownNamespace() {
    const own = { name: '' };
    before(async () => {
        const body = { metadata: { generateName: 'javascript-' } };
        own.name = (await core.createNamespace({ body })).metadata.name;
    });
    after(() => core.deleteNamespace({ name: own.name }));
    return own;
}

/** The call must fail with this status code and reason; gives the Status. */
export async function refused(code, reason, call) {
    const error = await call.then(
        () => assert.fail('the call succeeded'),
        (error) => error,
    );
    assert.equal(error.code, code, error.message);
    const status = typeof error.body === 'string' ? JSON.parse(error.body) : error.body;
    assert.deepEqual([status.kind, status.reason], ['Status', reason]);
    return status;
}

/** Calls probe until it gives something true, and gives that. */
export async function eventually(what, probe) {
    const end = performance.now() + PATIENCE;
    for (;;) {
        const value = await probe();
        if (value) {
            return value;
        }
        assert.ok(performance.now() < end, `${what}: not within ${PATIENCE} ms`);
        await pause(20);
    }
}
