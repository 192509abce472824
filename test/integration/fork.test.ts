import { copyFile, mkdir, readdir, rm } from 'node:fs/promises'
import { expect, test } from 'vitest'
import {
  type Log,
  Stratalog,
  VirtualClock,
  drillArchive,
  restoreArchive,
  verifyFiles,
} from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'
import { runCli, runJson } from '../support/cli.ts'
import { UP_TO, append, numbers } from '../support/number-logs.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const HOUR = 3_600_000

async function segmentFiles(dataDir: string): Promise<string[]> {
  const names = await readdir(dataDir, { recursive: true })
  return names.filter((name) => name.startsWith('segments/') && name.endsWith('.arrow'))
}

interface Place {
  readonly root: string
  readonly dataDir: string
  readonly archive: string
  readonly clock: VirtualClock
}

async function place(): Promise<Place> {
  const root = await temporaryDirectory()
  const clock = new VirtualClock(1_700_000_000_000)
  return { root, dataDir: `${root}/data`, archive: `file://${root}/archive`, clock }
}

function open({ dataDir, archive, clock }: Place, hasArchive = true): Promise<Stratalog> {
  return Stratalog.open({ dataDir, ...(hasArchive ? { archive } : {}) }, { clock })
}

/** Lets what is due be done. */
async function rounds({ clock }: Place, count: number): Promise<void> {
  for (let round = 0; round < count; round++) {
    clock.advance(500)
    await new Promise(setImmediate)
  }
}

/** Three segments of ten, the newest records in RAM as well. */
async function filled(db: Stratalog, diskTtl?: string): Promise<Log> {
  const storage = { mode: 'hybrid', ...(diskTtl === undefined ? {} : { diskTtl }) } as const
  const log = await db.createLog('log', { storage })
  for (const from of [0, 10, 20]) {
    await append(log, from, 10)
    await db.tier.now({ to: 'disk' })
  }
  return log
}

test('a fork has all that its source had, shares its files, and goes on by itself', async () => {
  const at = await place()
  {
    await using db = await open(at, false)
    const source = await filled(db)
    await append(source, 30, 5)
    const fork = await db.fork('log', 'fork')
    expect(await segmentFiles(at.dataDir)).toHaveLength(4)
    await append(fork, 100, 3)
    await append(source, 35, 2)
    expect(await numbers(fork)).toEqual([...UP_TO(35), 100, 101, 102])
    expect(await numbers(source)).toEqual(UP_TO(37))
    const answer = await db.query('SELECT sum(n)::INT FROM fork')
    expect((await answer.toJson()).rows).toEqual([[595 + 303]])
  }
  await using db = await open(at, false)
  expect(await numbers(db.log('fork'))).toEqual([...UP_TO(35), 100, 101, 102])
  expect(await numbers(db.log('log'))).toEqual(UP_TO(37))
  expect(await verifyFiles({ dataDir: at.dataDir })).toMatchObject({ verdict: 'PASS' })
})

test('a fork begins at any offset, at a moment, and where a snapshot was taken', async () => {
  const at = await place()
  await using db = await open(at)
  const source = await filled(db)
  for (const atOffset of [0, 1, 10, 25, 30]) {
    const fork = await db.fork('log', `at-${atOffset}`, { atOffset })
    await append(fork, 500, 1)
    expect(await numbers(fork)).toEqual([...UP_TO(atOffset), 500])
  }
  await db.snapshot({ name: 'then' })
  at.clock.advance(HOUR)
  const before = at.clock.now()
  at.clock.advance(HOUR)
  await append(source, 30, 10)
  expect(await numbers(await db.fork('log', 'moment', { at: before }))).toEqual(UP_TO(30))
  expect(await numbers(await db.fork('log', 'pinned', { snapshot: 'then' }))).toEqual(UP_TO(30))
  expect(await numbers(await db.fork('at-25', 'again', { atOffset: 22 }))).toEqual(UP_TO(22))
})

test('what cannot be forked is refused by name', async () => {
  const at = await place()
  await using db = await open(at)
  await filled(db)
  await db.createLog('ram', { storage: { mode: 'memory' } })
  await db.createLog('two', { partitions: 2 })
  await expectError(db.fork('none', 'x'), 'log_not_found')
  await expectError(db.fork('log', 'ram'), 'log_exists')
  await expectError(db.fork('two', 'x', { atOffset: 0 }), 'argument_invalid')
  await expectError(db.fork('log', 'x', { atOffset: 31 }), 'argument_invalid')
  await expectError(db.fork('log', 'x', { atOffset: 1, at: 5 }), 'argument_invalid')
  await expectError(db.fork('log', 'x', { snapshot: 'none' }), 'snapshot_not_found')
  expect((await db.fork('log', 'x')).name).toBe('x')
})

test('a producer is known to the fork as of where it begins', async () => {
  const at = await place()
  await using db = await open(at, false)
  const log = await db.createLog('log')
  const stamp = (sequence: number): { producer: object } => ({
    producer: { producerId: 'p', epoch: 0, sequence },
  })
  for (const sequence of [0, 1, 2]) await log.append({ n: sequence }, stamp(sequence) as never)
  const fork = await db.fork('log', 'fork', { atOffset: 2 })
  expect(await fork.append({ n: 1 }, stamp(1) as never)).toMatchObject({ isDuplicate: true })
  expect(await fork.append({ n: 9 }, stamp(2) as never)).toMatchObject({ offset: 2 })
})

test('neither loses a record when the other lets go: compaction, drops from the disk, retention, collection', async () => {
  const at = await place()
  {
    await using db = await open(at)
    const source = await db.createLog('log', { storage: { mode: 'hybrid', diskTtl: '1h' } })
    for (const from of [0, 10, 20]) {
      await append(source, from, 10)
      await db.tier.now({ to: 'object' })
    }
    await db.fork('log', 'fork', { atOffset: 25 })
    await db.fork('fork', 'third', { atOffset: 15 })
    await db.tier.now({ to: 'object' })
    // The source compacts: its three segments are one now, and the old objects are retired.
    expect(await db.tier.compact()).toMatchObject({ failed: [] })
    const collected = [{ log: 'log', from: 20, to: 30 }]
    expect(await db.tier.collect({ grace: 0 })).toMatchObject({ collected, pinned: 2, waiting: 0 })
    at.clock.advance(2 * HOUR)
    await db.tier.now({ to: 'object' })
  }
  {
    await using db = await open(at)
    // The fork retires what it shares with the third.
    await db.alterLog('fork', { storage: { retentionBytes: 1 } })
    await append(db.log('fork'), 25, 1)
    await db.tier.now({ to: 'object' })
    while ((await numbers(db.log('fork'))).length > 1) await rounds(at, 1)
    await db.tier.now({ to: 'object' })
    await db.tier.collect({ grace: 0 })
    expect(await numbers(db.log('fork'))).toEqual([25])
    expect(await numbers(db.log('third'))).toEqual(UP_TO(15))
    expect(await numbers(db.log('log'))).toEqual(UP_TO(30))
  }
  expect(await verifyFiles({ dataDir: at.dataDir, archive: at.archive })).toMatchObject({
    verdict: 'PASS',
    problems: [],
  })
})

test('on disk alone: files that the source has compacted or retired stay for the fork', async () => {
  const at = await place()
  {
    await using db = await open(at, false)
    await filled(db)
    await db.fork('log', 'fork', { atOffset: 25 })
    expect(await db.tier.compact()).toMatchObject({ failed: [], moved: [{ log: 'log' }] })
    // Two that are shared, the cut one, and the one of the source.
    expect(await segmentFiles(at.dataDir)).toHaveLength(4)
    expect(await numbers(db.log('fork'))).toEqual(UP_TO(25))
  }
  {
    await using db = await open(at, false)
    expect(await segmentFiles(at.dataDir)).toHaveLength(4)
    await db.alterLog('fork', { storage: { retentionBytes: 1 } })
    while ((await numbers(db.log('fork'))).length > 5) await rounds(at, 1)
    expect(await numbers(db.log('fork'))).toEqual(UP_TO(5, 20))
    while ((await segmentFiles(at.dataDir)).length > 2) await rounds(at, 1)
    expect(await numbers(db.log('log'))).toEqual(UP_TO(30))
  }
  expect(await verifyFiles({ dataDir: at.dataDir })).toMatchObject({ verdict: 'PASS' })
})

test('a fork of a fork keeps what it needs when both of its sources have left the directory', async () => {
  const at = await place()
  {
    await using db = await open(at)
    await filled(db)
    await db.tier.now({ to: 'object' })
    await db.fork('log', 'fork', { atOffset: 25 })
    await db.fork('fork', 'third', { atOffset: 22 })
    await db.tier.now({ to: 'object' })
    await db.tier.detach('log')
    await db.tier.detach('fork')
    expect(await numbers(db.log('third'))).toEqual(UP_TO(22))
  }
  {
    // By itself, from its disk.
    await using db = await open(at, false)
    expect(await numbers(db.log('third'))).toEqual(UP_TO(22))
    expect(db.logs().map(({ name }) => name)).toEqual(['third'])
  }
  await using db = await open(at)
  await db.tier.attach('fork')
  await append(db.log('fork'), 25, 1)
  expect(await numbers(db.log('fork'))).toEqual(UP_TO(26))
  expect(await db.tier.scrub()).toMatchObject({ problems: [] })
  expect(await verifyFiles({ dataDir: at.dataDir })).toMatchObject({ verdict: 'PASS' })
})

test('a fork of a fork keeps what it needs when both of its sources are deleted', async () => {
  const at = await place()
  {
    await using db = await open(at)
    await filled(db)
    await db.tier.now({ to: 'object' })
    await db.fork('log', 'fork', { atOffset: 25 })
    await db.fork('fork', 'third', { atOffset: 22 })
    await db.tier.now({ to: 'object' })
    await db.deleteLog('log')
    await db.deleteLog('fork')
    await db.tier.collect({ grace: 0 })
    await db.tier.collect({ grace: 0 })
    expect(await numbers(db.log('third'))).toEqual(UP_TO(22))
    expect(await db.tier.scrub()).toMatchObject({ problems: [] })
  }
  const dataDir = `${at.root}/restored`
  await restoreArchive({ archive: at.archive, dataDir, eager: true })
  await using db = await Stratalog.openReadOnly({ dataDir })
  expect(db.logs().map(({ name }) => name)).toEqual(['third'])
  expect(await numbers(db.log('third'))).toEqual(UP_TO(22))
})

test('an archive with forks is restored, drilled, and forked again', async () => {
  const at = await place()
  {
    await using db = await open(at)
    await filled(db)
    await db.fork('log', 'early', { atOffset: 5 })
    await db.tier.now({ to: 'object' })
    await db.fork('log', 'fork', { atOffset: 25 })
    await append(db.log('fork'), 25, 2)
    await db.tier.now({ to: 'object' })
  }
  expect(await drillArchive({ archive: at.archive })).toMatchObject({ verdict: 'PASS' })
  for (const eager of [true, false]) {
    const dataDir = `${at.root}/restored-${eager}`
    const { clock, archive } = at
    await restoreArchive({ archive, dataDir, eager }, { clock })
    await using db = await Stratalog.open({ dataDir }, { clock })
    expect(await numbers(db.log('early'))).toEqual(UP_TO(5))
    expect(await numbers(db.log('fork'))).toEqual(UP_TO(27))
    expect(await numbers(await db.fork('fork', 'next', { atOffset: 23 }))).toEqual(UP_TO(23))
  }
  const part = { archive: at.archive, dataDir: `${at.root}/part`, logs: ['fork'] }
  const toOffsets = [{ log: 'fork', partition: 0, offset: 13 }]
  await restoreArchive({ ...part, toOffsets })
  await using db = await Stratalog.open({ dataDir: part.dataDir })
  expect(await numbers(db.log('fork'))).toEqual(UP_TO(13))
})

test('a fork whose archive did not hear of it is told to it by the next engine', async () => {
  const at = await place()
  {
    await using db = await open(at)
    await filled(db, '1h')
    await db.tier.now({ to: 'object' })
    at.clock.advance(2 * HOUR)
    while ((await segmentFiles(at.dataDir)).length > 0) await rounds(at, 1)
  }
  // The archive as it was before the fork.
  await copyTree(`${at.root}/archive`, `${at.root}/before`)
  {
    await using db = await open(at)
    await db.fork('log', 'fork', { atOffset: 20 })
  }
  await rm(`${at.root}/archive`, { recursive: true })
  await copyTree(`${at.root}/before`, `${at.root}/archive`)
  {
    await using db = await open(at)
    expect(await numbers(db.log('fork'))).toEqual(UP_TO(20))
    await rounds(at, 50)
    await db.tier.now({ to: 'object' })
  }
  await using archive = await Stratalog.openArchive(at.archive)
  expect(await archive.log('fork').read().toArray()).toHaveLength(20)
})

async function copyTree(from: string, to: string): Promise<void> {
  for (const entry of await readdir(from, { recursive: true, withFileTypes: true })) {
    const target = entry.parentPath.replace(from, to)
    await mkdir(target, { recursive: true })
    if (entry.isFile())
      await copyFile(`${entry.parentPath}/${entry.name}`, `${target}/${entry.name}`)
  }
}

test('the command forks a log', async () => {
  const at = await place()
  {
    await using db = await open(at, false)
    await filled(db)
  }
  const args = ['fork', '--data-dir', at.dataDir, '--log', 'log', '--as']
  expect(await runJson([...args, 'fork', '--at-offset', '12'])).toMatchObject({
    name: 'fork',
    partitions: 1,
  })
  const count = ['sql', '--data-dir', at.dataDir, 'SELECT count(*) FROM fork']
  expect(await runJson(count)).toMatchObject({ rows: [[12]] })
  expect((await runCli([...args, 'fork'])).status).toBe(4)
})
