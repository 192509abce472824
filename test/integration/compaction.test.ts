/** Small segments become one while the log is in use: readers, SQL, snapshots and restores see no difference. */
import { readdir } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { Stratalog, VirtualClock, restoreArchive, verifyFiles } from '../../src/index.ts'
import { runCli } from '../support/cli.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const HOUR = 3_600_000
const ALL = Array.from({ length: 160 }, (_, n) => n)

async function numbers(db: Stratalog): Promise<unknown[]> {
  return (await db.log('log').read().toArray()).map((row) => row['n'])
}

async function files(directory: string): Promise<number> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).length
}

test('sixteen segments become one, and nobody sees it', async () => {
  const root = await temporaryDirectory()
  const clock = new VirtualClock()
  const place = { dataDir: `${root}/data`, archive: `file://${root}/archive` }
  {
    await using db = await Stratalog.open(place, { clock })
    await db.tier.pause()
    const log = await db.createLog('log', { keyColumn: 'key' })
    for (let part = 0; part < 16; part++) {
      const rows = ALL.slice(part * 10, part * 10 + 10)
      await log.append(rows.map((n) => ({ n, key: `k${n % 3}` })))
      await db.tier.now()
      if (part === 4) await db.snapshot({ name: 'early' })
    }
    clock.advance(2 * HOUR)
    const reading = log.read()[Symbol.asyncIterator]()
    const first = await reading.next()
    expect(await files(`${root}/data/segments`)).toBe(16)
    // Round by round: what the policy finds due.
    while ((await db.tier.run()).length > 0);
    expect(db.status().logs[0]?.partitions[0]?.tiers).toMatchObject({
      disk: { records: 160, segments: 1 },
      object: { records: 160, segments: 1 },
    })
    expect(await numbers(db)).toEqual(ALL)
    const sum = await db.query('SELECT sum(n)::INT AS n, count(*)::INT AS rows FROM log$cold')
    expect(await sum.toArray()).toEqual([{ n: 12_720, rows: 160 }])
    // A reader that began before goes on in what it began with.
    expect(first.done).toBe(false)
    let records = first.value?.length ?? 0
    for (let step = await reading.next(); step.done !== true; step = await reading.next())
      records += step.value.length
    expect(records).toBe(160)
    expect(await files(`${root}/data/segments`)).toBe(1)
    clock.advance(2 * HOUR)
    expect((await db.tier.collect()).collected).toHaveLength(16)
  }
  expect(await verifyFiles(place)).toMatchObject({ verdict: 'PASS', notes: [] })
  {
    await using again = await Stratalog.open(place, { clock })
    expect(await numbers(again)).toEqual(ALL)
  }
  const early = { archive: place.archive, dataDir: `${root}/early`, snapshot: 'early' }
  expect(await restoreArchive(early)).toMatchObject({ records: 50, verified: true })
  const whole = { archive: place.archive, dataDir: `${root}/whole`, eager: true }
  expect(await restoreArchive(whole)).toMatchObject({ records: 160, verified: true })
})

test('the command line merges what there is', async () => {
  const root = await temporaryDirectory()
  const where = ['--data-dir', `${root}/data`, '--json']
  {
    await using db = await Stratalog.open({ dataDir: `${root}/data` })
    const log = await db.createLog('log')
    for (let part = 0; part < 3; part++) {
      await log.append({ n: part })
      await db.tier.now()
    }
  }
  const { stdout } = await runCli(['tier', 'compact', ...where])
  expect(JSON.parse(stdout)).toMatchObject({
    moved: [{ log: 'log', partition: 0, from: 0, to: 3, fromTier: 'disk', toTier: 'disk' }],
    pending: 0,
    failed: [],
  })
  const again = await runCli(['tier', 'compact', ...where])
  expect(JSON.parse(again.stdout)).toMatchObject({ moved: [] })
})

test('the command line says what moves next, and why', async () => {
  const root = await temporaryDirectory()
  {
    await using db = await Stratalog.open({ dataDir: `${root}/data` })
    const storage = { mode: 'persistent', diskAfter: '10m', memoryTtl: '1h' } as const
    await (await db.createLog('log', { storage })).append({ n: 1 })
    await db.createLog('idle', { storage })
  }
  const { stdout } = await runCli(['tier', 'describe', '--data-dir', `${root}/data`, '--json'])
  const { logs, ...rest } = JSON.parse(stdout)
  expect(rest).toEqual({ moved: [], pending: 0, failed: [] })
  expect(logs.map(({ partitions }: { partitions: unknown[] }) => partitions)).toMatchObject([
    [{ next: { action: 'flush', why: 'diskAfter is 10 m 00 s' } }],
    [{ next: null }],
  ])
  const table = await runCli(['tier', 'describe', '--data-dir', `${root}/data`, '--log', 'log'])
  expect(table.stdout).toContain('diskAfter is 10 m 00 s')
  const wrong = await runCli(['tier', 'describe', '--data-dir', `${root}/data`, '--log', 'nope'])
  expect(wrong).toMatchObject({ status: 3 })
})

test('what the archive has stays as it is in an engine that was opened without it', async () => {
  const root = await temporaryDirectory()
  const dataDir = `${root}/data`
  {
    await using db = await Stratalog.open({ dataDir, archive: `file://${root}/archive` })
    await db.tier.pause()
    const log = await db.createLog('log')
    for (let n = 0; n < 8; n++) {
      await log.append({ n })
      await db.tier.now()
    }
  }
  await using db = await Stratalog.open({ dataDir })
  await db.tier.pause()
  await db.tier.run()
  expect(db.status().logs[0]?.partitions[0]?.lastError).toBeNull()
  expect(await db.tier.compact()).toMatchObject({ moved: [], failed: [] })
})

test('who reads beside the writer is told that segments were merged, and reads on when it opens again', async () => {
  const root = await temporaryDirectory()
  const dataDir = `${root}/data`
  await using db = await Stratalog.open({ dataDir })
  await db.tier.pause()
  const log = await db.createLog('log')
  for (let n = 0; n < 3; n++) {
    await log.append({ n })
    await db.tier.now()
  }
  await using beside = await Stratalog.openReadOnly({ dataDir })
  await db.tier.compact()
  await expectError(beside.log('log').read().toArray(), 'file_not_found')
  await using again = await Stratalog.openReadOnly({ dataDir })
  expect(await numbers(again)).toEqual([0, 1, 2])
})
