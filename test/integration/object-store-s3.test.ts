import { randomBytes } from 'node:crypto'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { noMetrics } from '../../src/base/metrics.ts'
import { systemRandom } from '../../src/base/random.ts'
import { NodeFileSystem } from '../../src/storage/node-file-system.ts'
import {
  createBucketIfMissing,
  openObjectStore,
  type OpenObjectStoreOptions,
} from '../../src/storage/open-object-store.ts'
import { describeObjectStore, keysOf } from '../contract/object-store.ts'
import { expectError } from '../support/expect-error.ts'
import { sharedMinio } from '../support/minio-global.ts'
import type { MinioSettings } from '../support/minio.ts'

let minio: MinioSettings

beforeAll(async () => {
  minio = await sharedMinio()
}, 15 * 60_000)

function optionsOf(settings: MinioSettings): OpenObjectStoreOptions {
  const { endpoint, region, accessKeyId, secretAccessKey } = settings
  return {
    s3: { endpoint, region, credentials: { accessKeyId, secretAccessKey } },
    fileSystem: new NodeFileSystem(),
    clock: systemClock,
    random: systemRandom,
    metrics: noMetrics,
    logger: silentLogger,
  }
}

const newBucket = (): string => `test-${randomBytes(6).toString('hex')}`
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

describeObjectStore(
  'S3ObjectStore on MinIO',
  async () => {
    const url = `s3://${newBucket()}/some/prefix`
    const options = optionsOf(minio)
    await createBucketIfMissing(url, options)
    const store = await openObjectStore(url, options)
    const other = await openObjectStore(url, options)
    onTestFinished(async () => {
      await store.close()
      await other.close()
    })
    return { store, other }
  },
  { manyObjects: 1_100 },
)

describe('S3ObjectStore on MinIO', () => {
  test('two prefixes of one bucket do not see each other', async () => {
    const bucket = newBucket()
    const options = optionsOf(minio)
    await createBucketIfMissing(`s3://${bucket}`, options)
    const whole = await openObjectStore(`s3://${bucket}`, options)
    const one = await openObjectStore(`s3://${bucket}/p/1`, options)
    const ten = await openObjectStore(`s3://${bucket}/p/10`, options)
    await one.put('a', bytesOf('one'))
    await ten.put('b', bytesOf('ten'))
    expect(await keysOf(one, '')).toEqual(['a'])
    expect(await keysOf(ten, '')).toEqual(['b'])
    expect(await keysOf(whole, '')).toEqual(['p/1/a', 'p/10/b'])
    await Promise.all([whole.close(), one.close(), ten.close()])
  })

  test('a missing bucket is bucket_not_found and the message says how to create it', async () => {
    const bucket = newBucket()
    const store = await openObjectStore(`s3://${bucket}`, optionsOf(minio))
    const error = await expectError(store.probe({ write: false }), 'bucket_not_found')
    expect(error.message).toContain(`aws --endpoint-url ${minio.endpoint} s3 mb s3://${bucket}`)
    await expectError(store.put('a', bytesOf('x')), 'bucket_not_found')
    await expectError(store.get('a'), 'bucket_not_found')
    await store.close()
  })

  test('createBucketIfMissing leaves a bucket that is there as it is', async () => {
    const url = `s3://${newBucket()}`
    const options = optionsOf(minio)
    await createBucketIfMissing(url, options)
    const store = await openObjectStore(url, options)
    await store.put('a', bytesOf('x'))
    await createBucketIfMissing(url, options)
    expect(await store.head('a')).toMatchObject({ length: 1 })
    await store.close()
  })

  test.each([
    ['an unknown access key', { accessKeyId: 'nobody-knows-this' }, 'InvalidAccessKeyId'],
    ['a wrong secret', { secretAccessKey: 'wrong-secret-wrong-secret' }, 'SignatureDoesNotMatch'],
  ])('%s is store_denied and the message says which', async (_name, change, reason) => {
    const store = await openObjectStore('s3://some-bucket', optionsOf({ ...minio, ...change }))
    const error = await expectError(store.probe({ write: false }), 'store_denied')
    expect(error.details['reason']).toBe(reason)
    expect(error.message).not.toContain('wrong-secret')
    await store.close()
  })

  test('a checksum that is not of the bytes fails the put', async () => {
    const url = `s3://${newBucket()}`
    const options = { ...optionsOf(minio), retryPolicy: { triesMax: 1 } }
    await createBucketIfMissing(url, options)
    const store = await openObjectStore(url, options)
    await expectError(
      store.put('a', bytesOf('x'), { sha256: '00'.repeat(32) }),
      'store_unavailable',
    )
    expect(await store.head('a')).toBeNull()
    await store.close()
  })

  test('requests are counted by operation, with their bytes', async () => {
    const url = `s3://${newBucket()}`
    const options = optionsOf(minio)
    await createBucketIfMissing(url, options)
    const store = await openObjectStore(url, options)
    await store.put('a', bytesOf('12345'), { ifAbsent: true })
    await store.get('a', { range: { start: 0, end: 2 } })
    await store.head('a')
    await keysOf(store, '')
    await store.remove('a')
    expect(store.requests()).toEqual({
      put: 1,
      get: 1,
      head: 1,
      list: 1,
      delete: 1,
      bytesIn: 2,
      bytesOut: 5,
    })
    await store.close()
  })
})
