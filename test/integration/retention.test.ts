/** Records that a log keeps no longer: gone from every tier, and from the archive once nothing needs them. */
import { readdir } from 'node:fs/promises'
import { expect, test } from 'vitest'
import {
  Stratalog,
  type StorageOptions,
  VirtualClock,
  restoreArchive,
  verifyFiles,
} from '../../src/index.ts'
import { runCli } from '../support/cli.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const HOUR = 3_600_000

interface Place {
  readonly root: string
  readonly dataDir: string
  readonly archive: string
  readonly clock: VirtualClock
}

async function place(): Promise<Place> {
  const root = await temporaryDirectory()
  return {
    root,
    dataDir: `${root}/data`,
    archive: `file://${root}/archive`,
    clock: new VirtualClock(),
  }
}

function open({ dataDir, archive, clock }: Place): Promise<Stratalog> {
  return Stratalog.open({ dataDir, archive }, { clock })
}

/** Three segments of ten records, an hour apart, each in the archive. */
async function filled(at: Place, storage: StorageOptions): Promise<Stratalog> {
  const db = await open(at)
  await db.tier.pause()
  const log = await db.createLog('log', { storage: { mode: 'hybrid', ...storage } })
  for (let segment = 0; segment < 3; segment++) {
    await log.append(Array.from({ length: 10 }, (_, row) => ({ n: segment * 10 + row })))
    await db.tier.now({ to: 'object' })
    at.clock.advance(HOUR)
  }
  return db
}

/** The first offset of the log as its archive says by itself. */
async function archivedStart({ archive }: Place): Promise<unknown> {
  const { stdout } = await runCli(['status', '--archive', archive, '--json'])
  return JSON.parse(stdout).logs[0].partitions[0].startOffset
}

async function numbers(db: Stratalog): Promise<unknown[]> {
  return (await db.log('log').read({ from: 0 }).toArray()).map((row) => row['n'])
}

async function filesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  return entries.flatMap((entry) => (entry.isFile() ? [entry.name] : []))
}

const LAST_TEN = Array.from({ length: 10 }, (_, row) => 20 + row)

test('what is older than the retention is gone from every tier, now and after a restart', async () => {
  const at = await place()
  {
    await using db = await filled(at, { retention: '90m' })
    await db.tier.run()
    // The newest record is one hour old; those before it two and three.
    expect(await numbers(db)).toEqual([...LAST_TEN.map((n) => n - 10), ...LAST_TEN])
    expect(db.status().logs[0]?.partitions[0]).toMatchObject({ startOffset: 10, gaps: [] })
    expect(await db.log('log').get(5)).toBeNull()
    expect(await filesBelow(`${at.root}/data/segments`)).toHaveLength(2)
    const counted = await db.query('SELECT count(*)::INT AS records, min(n)::INT AS first FROM log')
    expect(await counted.toArray()).toEqual([{ records: 20, first: 10 }])
  }
  await using again = await open(at)
  expect(await numbers(again)).toEqual([...LAST_TEN.map((n) => n - 10), ...LAST_TEN])
  expect(await again.log('log').append({ n: 30 })).toMatchObject({ offset: 30 })
})

test('age counts against the newest record, so a writer that pauses loses nothing', async () => {
  const at = await place()
  await using db = await filled(at, { retention: '90m' })
  at.clock.advance(100 * HOUR)
  await db.tier.run()
  expect(await numbers(db)).toHaveLength(20)
  await db.log('log').append({ n: 30 })
  await db.tier.now()
  await db.tier.run()
  expect(await numbers(db)).toEqual([30])
})

test('age is that of the record, not of its append', async () => {
  const at = await place()
  await using db = await open(at)
  await db.tier.pause()
  const log = await db.createLog('log', {
    timeColumn: 'at',
    storage: { mode: 'hybrid', retention: '1d' },
  })
  const now = at.clock.now()
  await log.append([{ n: 0, at: new Date(now - 48 * HOUR) }])
  await db.tier.now()
  await log.append([{ n: 1, at: new Date(now) }])
  await db.tier.now()
  await db.tier.run()
  expect(await numbers(db)).toEqual([1])
})

test('above the bytes that a partition keeps, its oldest segments go, and the newest stays', async () => {
  const at = await place()
  await using db = await filled(at, { retentionBytes: '1GB' })
  await db.tier.run()
  expect(await numbers(db)).toHaveLength(30)
  await db.alterLog('log', { storage: { retentionBytes: 1 } })
  await db.tier.run()
  expect(await numbers(db)).toEqual(LAST_TEN)
})

test('objects go after a grace, when no snapshot names them', async () => {
  const at = await place()
  await using db = await filled(at, { retention: '90m' })
  const segments = `${at.root}/archive/segments`
  await db.snapshot({ name: 'whole' })
  await db.tier.run()
  expect(await archivedStart(at)).toBe(10)
  expect(await filesBelow(segments)).toHaveLength(3)

  at.clock.advance(2 * HOUR)
  expect(await db.tier.collect()).toMatchObject({ collected: [], pinned: 1, waiting: 0 })
  const { records, verified } = await restoreArchive({
    archive: at.archive,
    dataDir: `${at.root}/restored`,
    snapshot: 'whole',
  })
  expect({ records, verified }).toEqual({ records: 30, verified: true })
  await using restored = await Stratalog.open({ dataDir: `${at.root}/restored` })
  expect(await numbers(restored)).toEqual(Array.from({ length: 30 }, (_, n) => n))
  expect(await verifyFiles({ archive: at.archive })).toMatchObject({ verdict: 'PASS' })
})

test('a retired object waits for its grace, is shown by a dry run, and is gone then', async () => {
  const at = await place()
  const segments = `${at.root}/archive/segments`
  {
    await using db = await filled(at, { retention: '90m' })
    await db.tier.run()
    expect(await db.tier.collect()).toMatchObject({ collected: [], waiting: 1 })
    at.clock.advance(2 * HOUR)
    const [would] = (await db.tier.collect({ dryRun: true })).collected
    expect(would).toMatchObject({ log: 'log', partition: 0, from: 0, to: 10 })
    expect(await filesBelow(segments)).toHaveLength(3)
    expect((await db.tier.collect()).collected).toEqual([would])
    expect(await filesBelow(segments)).toHaveLength(2)
    expect(await db.tier.collect()).toMatchObject({ collected: [], waiting: 0, pinned: 0 })
  }
  expect(await verifyFiles({ dataDir: at.dataDir, archive: at.archive })).toMatchObject({
    verdict: 'PASS',
    notes: [],
  })
  const report = await restoreArchive({
    archive: at.archive,
    dataDir: `${at.root}/restored`,
    eager: true,
  })
  expect(report).toMatchObject({ records: 20, verified: true })
})

test('what the archive has goes when an engine is opened with it', async () => {
  const at = await place()
  {
    await using db = await filled(at, {})
    await db.tier.now()
  }
  {
    await using local = await Stratalog.open({ dataDir: at.dataDir }, { clock: at.clock })
    await local.alterLog('log', {
      storage: { retention: '90m', archiveAfter: null, diskTtl: null },
    })
    await local.tier.run()
    expect(await numbers(local)).toHaveLength(30)
  }
  await using db = await open(at)
  await db.tier.run()
  await db.tier.run()
  expect(await archivedStart(at)).toBe(10)
  expect(await numbers(db)).toHaveLength(20)
})

test('a log that got a WAL before its start is archived, and can be in a snapshot', async () => {
  const at = await place()
  await using db = await open(at)
  await db.tier.pause()
  const storage = { mode: 'hybrid', wal: false, retention: '1m' } as const
  const log = await db.createLog('log', { storage })
  await log.append({ n: 0 })
  await db.tier.now({ to: 'disk' })
  await db.alterLog('log', { storage: { wal: true } })
  for (let n = 1; n < 4; n++) {
    at.clock.advance(HOUR)
    await log.append({ n })
    await db.tier.now({ to: 'disk' })
  }
  await db.tier.run()
  expect(await numbers(db)).toEqual([3])
  await db.snapshot()
  expect(await archivedStart(at)).toBe(3)
})

test('the command line sets a retention, and collects', async () => {
  const { root } = await place()
  const where = ['--data-dir', `${root}/data`, '--archive', `file://${root}/archive`]
  const made = await runCli(['logs', 'create', 'log', ...where, '--retention', '7d', '--json'])
  expect(JSON.parse(made.stdout)).toMatchObject({ policy: { retention: 7 * 24 * HOUR } })
  const collected = await runCli(['tier', 'collect', ...where, '--grace', '0s', '--json'])
  expect(JSON.parse(collected.stdout)).toEqual({
    moved: [],
    pending: 0,
    failed: [],
    collected: [],
    bytes: 0,
    pinned: 0,
    waiting: 0,
    orphans: [],
    rewritten: 0,
  })
})

test('what makes no sense is refused', async () => {
  const { dataDir } = await place()
  await using db = await Stratalog.open({ dataDir })
  await expectError(
    db.createLog('log', { storage: { mode: 'memory', retention: '1d' } }),
    'config_invalid',
  )
  await expectError(
    db.createLog('log', { storage: { mode: 'persistent', retention: 0, retentionBytes: 'x' } }),
    'config_invalid',
  )
  await expectError(db.tier.collect(), 'argument_invalid')
})
