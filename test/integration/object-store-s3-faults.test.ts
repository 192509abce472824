/**
 * The S3 store below its retries, and with them, against a server on loopback that misbehaves by a
 * script.
 */
import { describe, expect, test } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import type { ErrorCode } from '../../src/base/errors.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { noMetrics } from '../../src/base/metrics.ts'
import { seededRandom } from '../../src/base/random.ts'
import { MemoryFileSystem } from '../../src/storage/memory-file-system.ts'
import { openObjectStore, type OpenedObjectStore } from '../../src/storage/open-object-store.ts'
import { keysOf } from '../contract/object-store.ts'
import { expectError } from '../support/expect-error.ts'
import {
  startFaultyS3Server,
  type FaultyS3Server,
  type HttpCall,
  type HttpFault,
} from '../support/faulty-s3-server.ts'

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)
const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)
const BIG = new Uint8Array(200_000).map((_, i) => i * 7)

interface Rig extends AsyncDisposable {
  readonly server: FaultyS3Server
  readonly store: OpenedObjectStore
}

/** `triesMax` 1 shows the store itself; more shows it with its retries. */
async function rig(
  script: (call: HttpCall) => HttpFault | null,
  triesMax: number,
  bucket = 'bucket',
): Promise<Rig> {
  const server = await startFaultyS3Server(script)
  const store = await openObjectStore(`s3://${bucket}/prefix`, {
    s3: {
      endpoint: server.endpoint,
      credentials: { accessKeyId: 'id', secretAccessKey: 'secret' },
    },
    fileSystem: new MemoryFileSystem(),
    clock: systemClock,
    random: seededRandom(3),
    metrics: noMetrics,
    logger: silentLogger,
    retryPolicy: { triesMax, delayMinMs: 1, delayMaxMs: 5 },
    circuitPolicy: { failuresMax: Infinity },
    s3Limits: { connectMs: 1_000, responseMs: 400, bodyWindowMs: 150, bodyWindowBytesMin: 1_000 },
  })
  return {
    server,
    store,
    async [Symbol.asyncDispose]() {
      await store.close()
      await server[Symbol.asyncDispose]()
    },
  }
}

const onFirst = (method: string, fault: HttpFault) => {
  let isPending = true
  return (call: HttpCall): HttpFault | null => {
    if (!isPending || call.method !== method) return null
    isPending = false
    return fault
  }
}

const onEvery = (method: string, fault: HttpFault) => (call: HttpCall) =>
  call.method === method ? fault : null

describe('a body', () => {
  test.each<[string, HttpFault, ErrorCode]>([
    ['that is cut off', { kind: 'truncate', length: 150_000 }, 'store_unavailable'],
    ['that ends early in chunks', { kind: 'truncate-chunked', length: 150_000 }, 'object_corrupt'],
    ['that drips', { kind: 'drip', length: 50_000, everyMs: 5 }, 'store_unavailable'],
    ['that stops', { kind: 'drip', length: 50_000, everyMs: 1e6 }, 'store_unavailable'],
    ['with a flipped bit', { kind: 'wrong-bytes' }, 'object_corrupt'],
    ['that never begins', { kind: 'silence' }, 'store_unavailable'],
    ['on a connection that is reset', { kind: 'reset' }, 'store_unavailable'],
  ])('%s is never returned', async (_name, fault, code) => {
    await using fixture = await rig(onEvery('GET', fault), 1)
    await fixture.store.put('a', BIG)
    await expectError(fixture.store.get('a'), code)
  })

  test.each<[string, HttpFault]>([
    ['is cut off', { kind: 'truncate', length: 150_000 }],
    ['drips', { kind: 'drip', length: 50_000, everyMs: 5 }],
    ['has a flipped bit', { kind: 'wrong-bytes' }],
    ['never begins', { kind: 'silence' }],
  ])('that %s is read again', async (_name, fault) => {
    await using fixture = await rig(onFirst('GET', fault), 3)
    await fixture.store.put('a', BIG)
    expect(Buffer.compare(await fixture.store.get('a'), BIG)).toBe(0)
    expect(fixture.store.requests().get).toBe(2)
  })

  test('of a range is counted too', async () => {
    await using fixture = await rig(onEvery('GET', { kind: 'truncate', length: 10 }), 1)
    await fixture.store.put('a', BIG)
    await expectError(
      fixture.store.get('a', { range: { start: 100, end: 200 } }),
      'store_unavailable',
    )
  })

  test('of the whole object in answer to a range is store_unsupported', async () => {
    await using fixture = await rig(onEvery('GET', { kind: 'ignore-range' }), 3)
    await fixture.store.put('a', BIG)
    await expectError(
      fixture.store.get('a', { range: { start: 100, end: 200 } }),
      'store_unsupported',
    )
  })

  test('is given up when the caller aborts', async () => {
    await using fixture = await rig(
      onEvery('GET', { kind: 'drip', length: 50_000, everyMs: 1e6 }),
      3,
    )
    await fixture.store.put('a', BIG)
    const controller = new AbortController()
    const get = fixture.store.get('a', { signal: controller.signal })
    while (fixture.server.calls.length < 2) await systemClock.sleep(1)
    controller.abort(new Error('enough'))
    await expectError(get, 'aborted')
  })
})

describe('a conditional put', () => {
  test('that was applied before its connection was reset recognises itself', async () => {
    await using fixture = await rig(onFirst('PUT', { kind: 'apply-then-reset' }), 3)
    await fixture.store.put('a', bytesOf('mine'), { ifAbsent: true })
    expect(textOf(await fixture.store.get('a'))).toBe('mine')
    expect(fixture.server.calls.map((call) => call.method)).toEqual(['PUT', 'PUT', 'HEAD', 'GET'])
  })

  test('that was applied before its connection was reset is unknown to who does not retry', async () => {
    await using fixture = await rig(onFirst('PUT', { kind: 'apply-then-reset' }), 1)
    await expectError(
      fixture.store.put('a', bytesOf('mine'), { ifAbsent: true }),
      'store_unavailable',
    )
    expect(fixture.server.objects.has('bucket/prefix/a')).toBe(true)
  })

  test('that lost its first try to a reset and meets a rival is object_exists', async () => {
    await using fixture = await rig(onFirst('PUT', { kind: 'reset' }), 3)
    fixture.server.objects.set('bucket/prefix/a', {
      bytes: Buffer.from('mine'),
      checksum: undefined,
      putId: 'rival',
    })
    await expectError(fixture.store.put('a', bytesOf('mine'), { ifAbsent: true }), 'object_exists')
  })

  test('that conflicts with another request under way is tried again', async () => {
    const conflict = { kind: 'status', status: 409, code: 'ConditionalRequestConflict' } as const
    await using fixture = await rig(onFirst('PUT', conflict), 3)
    await fixture.store.put('a', bytesOf('mine'), { ifAbsent: true })
    expect(textOf(await fixture.store.get('a'))).toBe('mine')
  })

  test('on a store that ignores the condition is found out by the probe', async () => {
    await using fixture = await rig(onEvery('PUT', { kind: 'ignore-condition' }), 3)
    await fixture.store.probe({ write: false })
    await expectError(fixture.store.probe({ write: true }), 'store_unsupported')
    expect(fixture.server.objects.size).toBe(0)
  })

  test('sends its checksum once, and the signature covers the same', async () => {
    await using fixture = await rig(() => null, 1)
    await fixture.store.put('a', bytesOf('mine'), { ifAbsent: true })
    const headers = fixture.server.calls[0]?.headers ?? {}
    const checksum = Buffer.from(String(headers['x-amz-checksum-sha256']), 'base64').toString('hex')
    expect(headers['x-amz-content-sha256']).toBe(checksum)
    expect(headers['x-amz-checksum-crc32']).toBeUndefined()
    expect(headers['expect']).toBeUndefined()
    expect(headers['if-none-match']).toBe('*')
  })
})

describe('an answer', () => {
  test.each<[number, string, ErrorCode]>([
    [301, 'PermanentRedirect', 'config_invalid'],
    [400, 'AuthorizationHeaderMalformed', 'config_invalid'],
    [400, 'RequestTimeout', 'store_unavailable'],
    [400, 'ExpiredToken', 'store_denied'],
    [400, 'InvalidArgument', 'store_unsupported'],
    [403, 'AccessDenied', 'store_denied'],
    [403, 'InvalidAccessKeyId', 'store_denied'],
    [403, 'SignatureDoesNotMatch', 'store_denied'],
    [403, 'RequestTimeTooSkewed', 'store_denied'],
    [403, 'SomethingNew', 'store_denied'],
    [403, 'InvalidObjectState', 'object_offline'],
    [404, 'NoSuchBucket', 'bucket_not_found'],
    [404, 'NoSuchKey', 'object_not_found'],
    [412, 'PreconditionFailed', 'object_exists'],
    [416, 'InvalidRange', 'object_corrupt'],
    [429, 'TooManyRequests', 'store_unavailable'],
    [500, 'InternalError', 'store_unavailable'],
    [501, 'NotImplemented', 'store_unsupported'],
    [503, 'SlowDown', 'store_unavailable'],
    [503, 'ServiceUnavailable', 'store_unavailable'],
  ])('%i %s is %s', async (status, code, expected) => {
    await using fixture = await rig(() => ({ kind: 'status', status, code }), 1)
    const error = await expectError(fixture.store.get('a'), expected)
    expect(error.message).toContain(
      's3://bucket/prefix'.slice(0, expected === 'config_invalid' ? 0 : 11),
    )
  })

  test('that is a web page is an error, not an empty listing', async () => {
    await using fixture = await rig(() => ({ kind: 'html' }), 1)
    await expectError(fixture.store.probe({ write: false }), 'store_unavailable')
  })

  test('that lists keys and is cut off anywhere never is a shorter listing', async () => {
    let length = 0
    await using fixture = await rig(
      ({ method }) => (method === 'GET' ? { kind: 'truncate-chunked', length } : null),
      1,
    )
    for (const key of ['a', 'b', 'c']) await fixture.store.put(key, bytesOf(key))
    for (; length < 280; length += 5) {
      const outcome = await keysOf(fixture.store, '').catch(() => 'refused')
      expect(['refused', ['a', 'b', 'c']], `cut off after ${length} bytes`).toContainEqual(outcome)
    }
  })

  test('that lists keys out of order is store_unsupported', async () => {
    await using fixture = await rig(() => null, 1, 'unordered')
    for (const key of ['b', 'c', 'a']) await fixture.store.put(key, bytesOf(key))
    await expectError(keysOf(fixture.store, ''), 'store_unsupported')
  })

  test('that never comes from a port where nothing listens is store_unavailable', async () => {
    const fixture = await rig(() => null, 2)
    await fixture.server[Symbol.asyncDispose]()
    const error = await expectError(fixture.store.get('a'), 'store_unavailable')
    expect(error.message).toContain('ECONNREFUSED')
    await fixture.store.close()
  })

  test('of 503 a few times is waited out', async () => {
    let left = 3
    await using fixture = await rig(
      () => (left-- > 0 ? { kind: 'status', status: 503, code: 'SlowDown' } : null),
      5,
    )
    await fixture.store.put('a', bytesOf('x'))
    expect(fixture.store.requests().put).toBe(4)
    expect(fixture.server.calls).toHaveLength(4)
  })
})
