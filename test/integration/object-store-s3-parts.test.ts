/** Puts in parts: against a server on loopback that misbehaves by a script, and on MinIO. */
import { createHash, randomBytes } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import type { ErrorCode } from '../../src/base/errors.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { noMetrics } from '../../src/base/metrics.ts'
import { systemRandom } from '../../src/base/random.ts'
import { MemoryFileSystem } from '../../src/storage/memory-file-system.ts'
import type { UnfinishedPut } from '../../src/storage/object-store.ts'
import {
  createBucketIfMissing,
  openObjectStore,
  type OpenObjectStoreOptions,
  type OpenedObjectStore,
} from '../../src/storage/open-object-store.ts'
import { expectError } from '../support/expect-error.ts'
import {
  type FaultyS3Server,
  type HttpFault,
  type S3Operation,
  startFaultyS3Server,
} from '../support/faulty-s3-server.ts'
import { sharedMinio } from '../support/minio-global.ts'
import type { MinioSettings } from '../support/minio.ts'

const MIB = 1024 ** 2
const KEY = 'bucket/prefix/a'
const BIG = new Uint8Array(10_500).map((_, i) => i * 7)
const OTHER = BIG.map((byte) => byte ^ 1)

interface Rig extends AsyncDisposable {
  readonly server: FaultyS3Server
  readonly store: OpenedObjectStore
  operations(): string
}

/** Puts of more than 4,000 bytes go in parts of 1,000. */
async function rig(
  script: (operation: S3Operation, index: number) => HttpFault | null,
  triesMax = 1,
): Promise<Rig> {
  const counts = new Map<S3Operation, number>()
  const server = await startFaultyS3Server(({ operation }) => {
    const index = counts.get(operation) ?? 0
    counts.set(operation, index + 1)
    return script(operation, index)
  })
  const store = await openObjectStore('s3://bucket/prefix', {
    s3: {
      endpoint: server.endpoint,
      credentials: { accessKeyId: 'id', secretAccessKey: 'secret' },
    },
    fileSystem: new MemoryFileSystem(),
    clock: systemClock,
    random: systemRandom,
    metrics: noMetrics,
    logger: silentLogger,
    retryPolicy: { triesMax, delayMinMs: 1, delayMaxMs: 5 },
    circuitPolicy: { failuresMax: Infinity },
    s3Limits: { responseMs: 3_000, putBytesMax: 4_000, partBytes: 1_000 },
  })
  return {
    server,
    store,
    operations: () => server.calls.map(({ operation }) => operation).join(' '),
    async [Symbol.asyncDispose]() {
      await store.close()
      await server[Symbol.asyncDispose]()
    },
  }
}

const once =
  (wanted: S3Operation, fault: HttpFault, at = 0) =>
  (operation: S3Operation, index: number) =>
    operation === wanted && index === at ? fault : null

async function unfinishedIn(store: OpenedObjectStore, prefix = ''): Promise<UnfinishedPut[]> {
  const found: UnfinishedPut[] = []
  for await (const unfinished of store.listUnfinished(prefix)) found.push(unfinished)
  return found
}

const RESET = { kind: 'reset' } as const
const LOST = { kind: 'apply-then-reset' } as const

test('what is bigger than one put goes in parts, each with its checksum, and is there whole', async () => {
  await using fixture = await rig(() => null)
  await fixture.store.put('a', BIG)
  expect(Buffer.compare(fixture.server.objects.get(KEY)?.bytes ?? Buffer.of(), BIG)).toBe(0)
  expect(fixture.operations()).toBe(`begin ${'part '.repeat(11)}end`)
  expect(Buffer.compare(await fixture.store.get('a'), BIG)).toBe(0)
  expect(fixture.server.uploads.keys).toEqual([])
  const part = fixture.server.calls.find(({ operation }) => operation === 'part')
  const checksum = Buffer.from(String(part?.headers['x-amz-checksum-sha256']), 'base64')
  expect(part?.headers['x-amz-content-sha256']).toBe(checksum.toString('hex'))
  expect(part?.headers['content-length']).toBe('1000')
})

test('what is as big as one put may be is one put', async () => {
  await using fixture = await rig(() => null)
  await fixture.store.put('a', BIG.subarray(0, 4_000))
  expect(fixture.operations()).toBe('put')
})

describe('a put in parts that fails', () => {
  test.each<[S3Operation, HttpFault, ErrorCode]>([
    ['begin', RESET, 'store_unavailable'],
    ['begin', { kind: 'status', status: 403, code: 'AccessDenied' }, 'store_denied'],
    ['part', RESET, 'store_unavailable'],
    ['part', LOST, 'store_unavailable'],
    ['part', { kind: 'silence' }, 'store_unavailable'],
    ['part', { kind: 'status', status: 503, code: 'SlowDown' }, 'store_unavailable'],
    ['part', { kind: 'status', status: 404, code: 'NoSuchUpload' }, 'store_unavailable'],
    ['part', { kind: 'status', status: 403, code: 'AccessDenied' }, 'store_denied'],
    ['end', RESET, 'store_unavailable'],
    ['end', { kind: 'status', status: 500, code: 'InternalError' }, 'store_unavailable'],
    ['end', { kind: 'status', status: 400, code: 'InvalidPart' }, 'store_unavailable'],
    [
      'end',
      { kind: 'status', status: 409, code: 'ConditionalRequestConflict' },
      'store_unavailable',
    ],
  ])('at its %s by %o leaves neither an object nor parts', async (operation, fault, code) => {
    await using fixture = await rig(once(operation, fault, operation === 'part' ? 4 : 0))
    await expectError(fixture.store.put('a', BIG, { ifAbsent: true }), code)
    expect(fixture.server.objects.size).toBe(0)
    expect(fixture.server.uploads.keys).toEqual([])
  })

  test.each<S3Operation>(['begin', 'part', 'end'])('at its %s is begun anew', async (operation) => {
    await using fixture = await rig(once(operation, RESET), 3)
    await fixture.store.put('a', BIG, { ifAbsent: true })
    expect(Buffer.compare(await fixture.store.get('a'), BIG)).toBe(0)
    expect(fixture.server.uploads.keys).toEqual([])
  })

  test('because its caller aborts has no parts left, and neither has one that a close ends', async () => {
    await using fixture = await rig(once('part', { kind: 'silence' }, 2))
    const controller = new AbortController()
    const put = fixture.store.put('a', BIG, { signal: controller.signal })
    while (!fixture.operations().includes('part part part')) await systemClock.sleep(1)
    controller.abort(new Error('enough'))
    await expectError(put, 'aborted')
    expect(fixture.server.uploads.keys).toEqual([])

    await using closing = await rig(once('part', { kind: 'silence' }, 2))
    const other = expectError(closing.store.put('a', BIG), 'aborted')
    while (!closing.operations().includes('part part part')) await systemClock.sleep(1)
    await closing.store.close()
    await other
    expect(closing.server.uploads.keys).toEqual([])
  })

  test('is reported when the store has put together something else', async () => {
    await using fixture = await rig(once('end', { kind: 'wrong-bytes' }), 3)
    await expectError(fixture.store.put('a', BIG), 'object_corrupt')
  })
})

describe('a conditional put in parts', () => {
  test('of a taken key is object_exists, changes nothing and sends no part', async () => {
    await using fixture = await rig(() => null)
    await fixture.store.put('a', BIG, { ifAbsent: true })
    const sent = fixture.server.calls.length
    await expectError(fixture.store.put('a', OTHER, { ifAbsent: true }), 'object_exists')
    const asked = fixture.server.calls.slice(sent).map(({ operation }) => operation)
    expect(asked).toEqual(['head', 'head'])
    expect(Buffer.compare(await fixture.store.get('a'), BIG)).toBe(0)
  })

  test('whose key is taken while its parts are sent is object_exists, and leaves no parts', async () => {
    await using fixture = await rig((operation, index) => {
      if (operation === 'part' && index === 5)
        fixture.server.objects.set(KEY, {
          bytes: Buffer.from(OTHER),
          checksum: undefined,
          putId: 'rival',
        })
      return null
    })
    await expectError(fixture.store.put('a', BIG, { ifAbsent: true }), 'object_exists')
    expect(Buffer.compare(await fixture.store.get('a'), OTHER)).toBe(0)
    expect(fixture.server.uploads.keys).toEqual([])
  })

  test('whose last answer was lost recognises itself, and sends nothing again', async () => {
    await using fixture = await rig(once('end', LOST), 3)
    await fixture.store.put('a', BIG, { ifAbsent: true })
    expect(Buffer.compare(await fixture.store.get('a'), BIG)).toBe(0)
    expect(fixture.operations()).toBe(`head begin ${'part '.repeat(11)}end abort head head get`)
  })
})

describe('puts that were not ended', () => {
  test('are listed over pages, below the prefix, and can be given up', async () => {
    await using fixture = await rig(() => null)
    const { uploads } = fixture.server
    const started = new Date('2026-01-02T03:04:05.000Z')
    for (const key of ['prefix/a', 'prefix/b/1', 'prefix/b/2', 'elsewhere/c'])
      uploads.begin(`bucket/${key}`, undefined, started)
    const found = await unfinishedIn(fixture.store)
    expect(found.map(({ key }) => key)).toEqual(['a', 'b/1', 'b/2'])
    expect(found.every(({ startedAt }) => startedAt === started.getTime())).toBe(true)
    expect((await unfinishedIn(fixture.store, 'b/')).map(({ key }) => key)).toEqual(['b/1', 'b/2'])
    for (const unfinished of found) {
      await fixture.store.abortUnfinished(unfinished)
      await fixture.store.abortUnfinished(unfinished)
    }
    expect(uploads.keys).toEqual(['bucket/elsewhere/c'])
  })

  test('an answer that is none is no empty list of them', async () => {
    await using fixture = await rig((operation) =>
      operation === 'list-uploads' ? { kind: 'html' } : null,
    )
    await expectError(unfinishedIn(fixture.store), 'store_unavailable')
  })
})

describe('on MinIO', () => {
  let minio: MinioSettings

  beforeAll(async () => {
    minio = await sharedMinio()
  }, 15 * 60_000)

  async function open(): Promise<OpenedObjectStore> {
    const { endpoint, region, accessKeyId, secretAccessKey } = minio
    const options: OpenObjectStoreOptions = {
      s3: { endpoint, region, credentials: { accessKeyId, secretAccessKey } },
      fileSystem: new MemoryFileSystem(),
      clock: systemClock,
      random: systemRandom,
      metrics: noMetrics,
      logger: silentLogger,
      s3Limits: { putBytesMax: 6 * MIB, partBytes: 5 * MIB },
    }
    const url = `s3://test-${randomBytes(6).toString('hex')}/some/prefix`
    await createBucketIfMissing(url, options)
    return openObjectStore(url, options)
  }

  test('a put in parts is whole, conditional, and recognised by its id', async () => {
    const store = await open()
    const bytes = randomBytes(11 * MIB + 3)
    await store.put('a/b', bytes, { ifAbsent: true, putId: 'mine' })
    const sha256 = (given: Uint8Array): string => createHash('sha256').update(given).digest('hex')
    expect(sha256(await store.get('a/b'))).toBe(sha256(bytes))
    expect(await store.head('a/b')).toMatchObject({ length: bytes.length, putId: 'mine' })
    await expectError(store.put('a/b', bytes, { ifAbsent: true, putId: 'other' }), 'object_exists')
    expect(await unfinishedIn(store, 'a/b')).toEqual([])
    await store.close()
  })

  test('of rivals in parts exactly one succeeds, and none leaves parts', async () => {
    const store = await open()
    const rivals = [1, 2, 3].map((number) => new Uint8Array(6 * MIB + 1).fill(number))
    const outcomes = await Promise.allSettled(
      rivals.map((bytes, index) =>
        store.put('a', bytes, { ifAbsent: true, putId: `rival ${index}` }),
      ),
    )
    const winners = outcomes.flatMap(({ status }, index) => (status === 'fulfilled' ? [index] : []))
    expect(winners).toHaveLength(1)
    expect(Buffer.compare(await store.get('a'), rivals[winners[0] ?? 0] ?? Buffer.of())).toBe(0)
    expect(await unfinishedIn(store, 'a')).toEqual([])
    await store.close()
  })
})
