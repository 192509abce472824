/** Logs whose old versions of keys are gone, as they come to an engine with a data directory. */
import { readdir, rm } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { type Log, Stratalog, VirtualClock } from '../../src/index.ts'
import { restoreLogs } from '../../src/engine/restore-logs.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const HOUR = 3_600_000

interface Compacted {
  readonly root: string
  readonly archive: string
  readonly db: Stratalog
  readonly log: Log
  readonly clock: VirtualClock
}

/** One after the other: keys of an append go to one partition. */
async function appendEach(log: Log, records: readonly { key: string; n: number }[]): Promise<void> {
  for (const record of records) await log.append(record)
}

/** Two partitions. Of each the first segments hold few records, and those behind are whole. */
async function compacted(): Promise<Compacted> {
  const root = await temporaryDirectory()
  const clock = new VirtualClock()
  const archive = `file://${root}/archive`
  const db = await Stratalog.open({ dataDir: `${root}/data`, archive }, { clock })
  await db.tier.pause()
  const log = await db.createLog('log', {
    keyColumn: 'key',
    partitions: 2,
    schema: { key: 'utf8', n: 'int32' },
    storage: { keep: 'latest', memoryTtl: '1m', diskAfter: '1m', archiveAfter: '1m' },
  })
  for (let part = 0; part < 6; part++) {
    await appendEach(
      log,
      Array.from({ length: 60 }, (_, row) => ({
        key: `k${(row * 7 + part) % 40}`,
        n: part * 60 + row,
      })),
    )
    await db.tier.now({ to: 'object' })
    clock.advance(1000)
  }
  clock.advance(HOUR)
  await db.tier.resume()
  while ((await db.tier.run()).length > 0);
  await db.tier.compact()
  await db.tier.pause()
  await appendEach(
    log,
    Array.from({ length: 40 }, (_, row) => ({ key: `new${row}`, n: 1000 + row })),
  )
  await db.tier.now({ to: 'object' })
  return { root, archive, db, log, clock }
}

async function offsetsIn(log: Log): Promise<unknown[][]> {
  const rows = await log.read().toArray()
  return rows.map((row) => [row['_partition'], row['_offset'], row['key'], row['n']])
}

test('a replay into a data directory leaves out what is gone, and the log goes on, also after a crash', async () => {
  const { root, archive, db, log } = await compacted()
  await using _db = db
  const held = await offsetsIn(log)
  expect(held.length).toBeLessThan(200)
  const dataDir = `${root}/replayed`
  {
    await using target = await Stratalog.open({ dataDir })
    const report = await target.replayFromArchive(archive)
    expect(report.records).toBe(held.length)
    expect(report.logs).toMatchObject([{ gaps: [], latestHash: await log.latestHash() }])
    expect(await offsetsIn(target.log('log'))).toEqual(held)
    await target.log('log').append({ key: 'own', n: -1 })
  }
  await using again = await Stratalog.open({ dataDir })
  const rows = await offsetsIn(again.log('log'))
  expect(rows).toHaveLength(held.length + 1)
  expect(rows.filter(([, , key]) => key !== 'own')).toEqual(held)
  const count = await again.query('SELECT count(*)::INT FROM log')
  expect((await count.toJson()).rows).toEqual([[held.length + 1]])
})

test('a replay that was stopped anywhere goes on, and each record is there once', async () => {
  const { root, archive, db, log } = await compacted()
  await using _db = db
  const held = await offsetsIn(log)
  const dataDir = `${root}/resumed`
  let resumePoint = {}
  for (let steps = 1; ; steps += 3) {
    await using target = await Stratalog.open({ dataDir })
    const stop = new AbortController()
    let count = 0
    const replay = target.replayFromArchive(archive, {
      ...resumePoint,
      speed: 'stepped',
      stepRecords: 9,
      signal: stop.signal,
      step: async () => {
        if (++count > steps) stop.abort()
      },
      onProgress: (progress) => {
        resumePoint = { resumePoint: progress.resumePoint() }
      },
    })
    const outcome = await replay.then(() => 'done', String)
    if (outcome === 'done') break
    expect(outcome).toContain('abort')
    expect(steps).toBeLessThan(200)
  }
  await using target = await Stratalog.openReadOnly({ dataDir })
  expect(await offsetsIn(target.log('log'))).toEqual(held)
})

test.each([
  ['all of it', {}],
  ['some offsets', { logs: ['log'], from: 160, to: 190 }],
])('a replay of %s of one partition is that of the archive', async (_, picked) => {
  const { root, db, clock } = await compacted()
  await using _db = db
  const archive = `file://${root}/single`
  await using source = await Stratalog.open({ dataDir: `${root}/one`, archive }, { clock })
  await source.tier.pause()
  const log = await source.createLog('log', {
    keyColumn: 'key',
    schema: { key: 'utf8', n: 'int32' },
    storage: { keep: 'latest', memoryTtl: '1m', diskAfter: '1m', archiveAfter: '1m' },
  })
  for (let part = 0; part < 4; part++) {
    await log.append(Array.from({ length: 50 }, (__, n) => ({ key: `k${(n * 3) % 35}`, n })))
    await source.tier.now({ to: 'object' })
  }
  clock.advance(HOUR)
  await source.tier.resume()
  while ((await source.tier.run()).length > 0);
  await source.tier.compact()
  await using target = await Stratalog.open({ dataDir: `${root}/target` })
  await target.replayFromArchive(archive, picked)
  const { from = 0, to = 200 } = picked as { from?: number; to?: number }
  const wanted = (await offsetsIn(log)).filter(
    ([, offset]) => Number(offset) >= from && Number(offset) < to,
  )
  expect(wanted.length).toBeGreaterThan(0)
  expect(await offsetsIn(target.log('log'))).toEqual(wanted)
})

test('a restore into a running engine with a data directory is whole', async () => {
  const { root, archive, db, log } = await compacted()
  await using _db = db
  await using target = await Stratalog.open({ dataDir: `${root}/server` })
  const result = await restoreLogs(target, { archive, logs: ['log'], rename: { log: 'copy' } })
  expect(result).toMatchObject({ verified: true, missing: [], corrupt: [], gaps: [] })
  expect(await offsetsIn(target.log('copy'))).toEqual(await offsetsIn(log))
  expect(await target.log('copy').latestHash()).toBe(await log.latestHash())
  expect(target.status().logs.map(({ name }) => name)).toEqual(['copy'])
})

test('a hole that the history does not know is a gap still', async () => {
  const { root, archive, db, clock } = await compacted()
  clock.advance(2 * HOUR)
  await db.tier.collect()
  await db.close()
  const names = (await readdir(`${root}/archive/segments/1/0`)).toSorted()
  await rm(`${root}/archive/segments/1/0/${names[0] ?? ''}`)
  await using target = await Stratalog.open({ dataDir: `${root}/gap` })
  await expectError(target.replayFromArchive(archive), 'offset_gap')
})
