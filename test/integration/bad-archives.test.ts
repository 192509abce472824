/** Archives that are wrongly set up, or that somebody laid hands on: what is said, and what still works. */
import { randomBytes } from 'node:crypto'
import { readdir, rm } from 'node:fs/promises'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import type { ErrorCode, StratalogError } from '../../src/base/errors.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { noMetrics } from '../../src/base/metrics.ts'
import { systemRandom } from '../../src/base/random.ts'
import { Stratalog, verifyFiles } from '../../src/index.ts'
import { NodeFileSystem } from '../../src/storage/node-file-system.ts'
import { createBucketIfMissing } from '../../src/storage/open-object-store.ts'
import { expectError } from '../support/expect-error.ts'
import { type HttpFault, startFaultyS3Server } from '../support/faulty-s3-server.ts'
import { sharedMinio } from '../support/minio-global.ts'
import type { MinioSettings } from '../support/minio.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

type EngineOptions = NonNullable<Parameters<typeof Stratalog.open>[0]>

let minio: MinioSettings

beforeAll(async () => {
  minio = await sharedMinio()
}, 15 * 60_000)

/** A new bucket on MinIO, and how it is opened. */
async function onMinio(): Promise<EngineOptions> {
  const { endpoint, region, accessKeyId, secretAccessKey } = minio
  const s3 = { endpoint, region, credentials: { accessKeyId, secretAccessKey } }
  const archive = `s3://test-${randomBytes(6).toString('hex')}/shop`
  await createBucketIfMissing(archive, {
    s3,
    fileSystem: new NodeFileSystem(),
    clock: systemClock,
    random: systemRandom,
    metrics: noMetrics,
    logger: silentLogger,
  })
  return { dataDir: `${await temporaryDirectory()}/data`, archive, s3, logLevel: 'silent' }
}

async function refused(options: EngineOptions, code: ErrorCode): Promise<StratalogError> {
  return expectError(Stratalog.open(options), code)
}

describe('an archive on MinIO', () => {
  test('with the name of another bucket says how to create it', async () => {
    const error = await refused(
      { ...(await onMinio()), archive: 's3://nobody-made-this/shop' },
      'bucket_not_found',
    )
    expect(error.message).toContain('s3 mb s3://nobody-made-this')
  })

  test('with wrong credentials says which of them, and not their values', async () => {
    const options = await onMinio()
    const { accessKeyId } = minio
    const credentials = { accessKeyId, secretAccessKey: 'wrong-secret-wrong-secret' }
    const error = await refused({ ...options, s3: { ...options.s3, credentials } }, 'store_denied')
    expect(error.message).toContain('AWS_SECRET_ACCESS_KEY')
    expect(error.message).not.toContain('wrong-secret')
  })

  test('of another engine names both, and is left as it is', async () => {
    const options = await onMinio()
    await (await Stratalog.open(options)).close()
    const dataDir = `${await temporaryDirectory()}/other`
    const error = await refused({ ...options, dataDir }, 'archive_foreign')
    expect(error.details['archiveEngineId']).not.toBe(error.details['engineId'])
    await (await Stratalog.open(options)).close()
  })
})

describe('a store', () => {
  async function behind(fault: (method: string) => HttpFault | null): Promise<EngineOptions> {
    const server = await startFaultyS3Server(({ method }) => fault(method))
    onTestFinished(() => server[Symbol.asyncDispose]())
    return {
      dataDir: `${await temporaryDirectory()}/data`,
      archive: 's3://bucket/shop',
      s3: {
        endpoint: server.endpoint,
        credentials: { accessKeyId: 'id', secretAccessKey: 'secret' },
      },
      logLevel: 'silent',
    }
  }

  test('that ignores conditional writes is refused before anything lies there', async () => {
    const options = await behind((method) =>
      method === 'PUT' ? { kind: 'ignore-condition' } : null,
    )
    const error = await refused(options, 'store_unsupported')
    expect(error.message).toContain('If-None-Match')
  })

  test('of another region says which setting to change', async () => {
    const code = 'AuthorizationHeaderMalformed'
    const error = await refused(
      await behind(() => ({ kind: 'status', status: 400, code })),
      'config_invalid',
    )
    expect(error.message).toContain('set s3.region (AWS_REGION)')
  })

  test('whose clock is another says so', async () => {
    const skewed = { kind: 'status', status: 403, code: 'RequestTimeTooSkewed' } as const
    const error = await refused(await behind(() => skewed), 'store_denied')
    expect(error.message).toContain('clock')
  })

  test('whose objects went to an archive class says what to do, and of which', async () => {
    let isOffline = false
    const options = await behind((method) =>
      isOffline && method === 'GET'
        ? { kind: 'status', status: 403, code: 'InvalidObjectState' }
        : null,
    )
    await using db = await Stratalog.open(options)
    const log = await db.createLog('orders', { storage: { localDisk: false } })
    await log.append([{ n: 1 }, { n: 2 }])
    expect((await db.tier.now()).failed).toEqual([])
    await db.alterLog('orders', { storage: { memoryTtl: 0 } })
    await db.tier.run()
    isOffline = true
    const error = await expectError(log.read().toArray(), 'object_offline')
    expect(error.message).toContain('restore-object')
    expect(String(error.details['key'])).toMatch(/^segments\//)
    isOffline = false
    expect(await log.read().toArray()).toHaveLength(2)
  })
})

test('a segment that was deleted from the archive is named, and all else is readable', async () => {
  const root = await temporaryDirectory()
  const options = {
    dataDir: `${root}/data`,
    archive: `file://${root}/archive`,
    logLevel: 'silent',
  } as const
  await using db = await Stratalog.open(options)
  const log = await db.createLog('orders', { storage: { localDisk: false, memoryTtl: 0 } })
  for (let index = 0; index < 3; index++) {
    await log.append(Array.from({ length: 10 }, (_, row) => ({ n: index * 10 + row })))
    await db.tier.now()
  }
  await db.tier.run()
  const directory = `${root}/archive/segments/${(await readdir(`${root}/archive/segments`))[0] ?? ''}/0`
  const name = (await readdir(directory)).sort()[1] ?? ''
  await rm(`${directory}/${name}`)
  const error = await expectError(log.read().toArray(), 'object_not_found')
  expect(error.message).toContain(name)
  expect(await log.read({ from: 0, to: 10 }).toArray()).toHaveLength(10)
  expect(await log.read({ from: 20, to: 30 }).toArray()).toHaveLength(10)
  await log.append({ n: 30 })
  expect((await db.tier.now()).failed).toEqual([])
  await expectError(log.read({ from: 10, to: 11 }).toArray(), 'object_not_found')
  const { verdict, problems } = await verifyFiles({ archive: options.archive })
  expect(verdict).toBe('FAIL')
  expect(problems).toMatchObject([{ kind: 'missing', log: 'orders', from: 10, to: 20 }])
})
