/**
 * The whole way of a record on a real object store: RAM, disk, MinIO; the machine is lost; everything comes back from
 * the bucket alone and is equal, by the hash of an oracle that saw only the plain records.
 */
import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { beforeAll, expect, test } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { noMetrics } from '../../src/base/metrics.ts'
import { systemRandom } from '../../src/base/random.ts'
import { Stratalog, drillArchive, restoreArchive } from '../../src/index.ts'
import { NodeFileSystem } from '../../src/storage/node-file-system.ts'
import { createBucketIfMissing } from '../../src/storage/open-object-store.ts'
import { expectError } from '../support/expect-error.ts'
import { sharedMinio } from '../support/minio-global.ts'
import { oracleHash } from '../support/oracle-hash.ts'
import type { MinioSettings } from '../support/minio.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const RECORDS = 20_000
const BATCH = 500
const FIELDS = [
  { name: 'id', type: 'int32' },
  { name: 'amount', type: 'float64' },
  { name: 'city', type: 'utf8' },
  { name: 'note', type: 'utf8' },
  { name: 'at', type: 'timestamp[ms]' },
] as const

let minio: MinioSettings

beforeAll(async () => {
  minio = await sharedMinio()
}, 15 * 60_000)

function record(id: number): Record<string, unknown> {
  return {
    id,
    amount: id % 11 === 0 ? null : id / 7,
    city: ['Oslo', 'Lagos', 'Lima', 'Zürich'][id % 4],
    note: id % 3 === 0 ? null : `note ${id} ${'é'.repeat(id % 17)}`,
    at: new Date(1_700_000_000_000 + id * 250),
  }
}

async function newArchive(): Promise<{
  archive: string
  s3: NonNullable<Parameters<typeof Stratalog.open>[0]['s3']>
}> {
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
  return { archive, s3 }
}

test('a lost machine is restored from the bucket alone, to the record, and goes on with its archive', async () => {
  const root = await temporaryDirectory()
  const { archive, s3 } = await newArchive()
  const rows = Array.from({ length: RECORDS }, (_, id) => record(id))
  const expected = oracleHash(
    FIELDS,
    rows.map((values, offset) => ({ partition: 0, offset, values })),
  )

  const db = await Stratalog.open({ dataDir: `${root}/lost`, archive, s3 })
  const orders = await db.createLog('orders', {
    schema: FIELDS.map((field) => ({ ...field, nullable: true })),
    timeColumn: 'at',
  })
  for (let at = 0; at < RECORDS; at += BATCH) {
    await orders.append(rows.slice(at, at + BATCH))
    if (at === RECORDS / 2) await db.tier.now()
  }
  const snapshot = await db.snapshot({ name: 'before-the-fire' })
  expect(snapshot.logs).toEqual([
    {
      id: orders.id,
      name: 'orders',
      partitions: [{ partition: 0, startOffset: 0, endOffset: RECORDS }],
    },
  ])
  expect(snapshot.newBytes).toBeGreaterThan(0)
  expect(snapshot.newBytes).toBeLessThan(snapshot.bytes)
  await db.close()
  await rm(`${root}/lost`, { recursive: true })

  const drill = await drillArchive({
    archive,
    s3,
    checks: [{ sql: 'SELECT count(*) FROM orders', expected: [[RECORDS]] }],
  })
  expect(drill).toMatchObject({
    verdict: 'PASS',
    reasons: [],
    records: RECORDS,
    coverage: 1,
    hashEqual: null,
  })
  expect(drill.logs).toMatchObject([{ name: 'orders', hash: expected, gaps: [] }])

  const restored = await restoreArchive({
    archive,
    s3,
    dataDir: `${root}/new`,
    snapshot: 'before-the-fire',
    eager: true,
  })
  expect(restored).toMatchObject({ records: RECORDS, verified: true, missing: [], corrupt: [] })

  await using again = await Stratalog.open({ dataDir: `${root}/new`, archive, s3 })
  const read = await again.log('orders').read().toArray()
  expect(
    oracleHash(
      FIELDS,
      read.map((values) => ({ partition: 0, offset: Number(values['_offset']), values })),
    ),
  ).toBe(expected)
  expect(await again.log('orders').append(record(RECORDS))).toEqual({
    partition: 0,
    offset: RECORDS,
    count: 1,
  })
  expect(await again.tier.now()).toMatchObject({ pending: 0, failed: [] })

  await using reader = await Stratalog.openArchive(archive, { s3 })
  const result = await reader.query('SELECT count(*) AS n, count(note) AS notes FROM orders')
  expect(await result.toArray()).toEqual([
    { n: RECORDS + 1, notes: rows.filter((row) => row['note'] !== null).length + 1 },
  ])
  expect((await result.stats).recordsByTier).toEqual({ memory: 0, disk: 0, object: RECORDS + 1 })

  await using scratch = await Stratalog.memoryOnly()
  const replayed = await scratch.replayFromArchive(archive, { s3, to: RECORDS })
  expect(replayed).toMatchObject({ records: RECORDS, missing: [], corrupt: [] })
  expect(replayed.logs[0]?.hash).toBe(expected)
  expect(await scratch.log('orders').get(RECORDS - 1)).toMatchObject(record(RECORDS - 1))
})

test('a missing bucket, wrong credentials and a dead endpoint are told apart', async () => {
  const root = await temporaryDirectory()
  const { archive, s3 } = await newArchive()
  const missing = 's3://no-such-bucket-here/shop'
  await expectError(
    Stratalog.open({ dataDir: `${root}/a`, archive: missing, s3 }),
    'bucket_not_found',
  )
  const credentials = { accessKeyId: minio.accessKeyId, secretAccessKey: 'wrong-secret-key' }
  await expectError(
    Stratalog.open({ dataDir: `${root}/b`, archive, s3: { ...s3, credentials } }),
    'store_denied',
  )
  await expectError(Stratalog.openArchive(archive, { s3 }), 'archive_not_found')
})

test('a second engine on the same archive is refused by name, and the first goes on', async () => {
  const root = await temporaryDirectory()
  const { archive, s3 } = await newArchive()
  await using first = await Stratalog.open({ dataDir: `${root}/first`, archive, s3 })
  await (await first.createLog('orders')).append({ id: 1 })
  await expectError(Stratalog.open({ dataDir: `${root}/second`, archive, s3 }), 'archive_foreign')
  expect(await first.tier.now()).toMatchObject({ pending: 0, failed: [] })
})
