/** A directory that was restored without its bytes, while the archive's engine merges, retires and collects. */
import { readdir, rm } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { Stratalog, VirtualClock, planRestoreArchive, restoreArchive } from '../../src/index.ts'
import { restore } from '../../src/cli/commands/restore.ts'
import type { Session } from '../../src/cli/session.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const HOUR = 3_600_000
const STORAGE = { memoryTtl: '1m', diskAfter: '1m', archiveAfter: '1m', diskTtl: '1d' } as const
const UP_TO = (count: number): number[] => Array.from({ length: count }, (_, n) => n)

interface Live {
  readonly root: string
  readonly archive: string
  readonly clock: VirtualClock
  readonly source: Stratalog
  readonly dataDir: string
}

/** A live engine with ten segments of a hundred records in its archive, which was restored lazily meanwhile. */
async function restoredLive(storage: object = {}): Promise<Live> {
  const root = await temporaryDirectory()
  const archive = `file://${root}/archive`
  const clock = new VirtualClock(1_700_000_000_000)
  const source = await Stratalog.open({ dataDir: `${root}/data`, archive }, { clock })
  await source.tier.pause()
  const log = await source.createLog('a', {
    keyColumn: 'key',
    schema: { n: 'int32', key: 'utf8' },
    storage: { ...STORAGE, ...storage },
  })
  for (let segment = 0; segment < 10; segment++) {
    await log.append(numbered(segment * 100, 100))
    await source.tier.now({ to: 'object' })
    clock.advance(1000)
  }
  const dataDir = `${root}/restored`
  await restoreArchive({ archive, dataDir }, { clock })
  return { root, archive, clock, source, dataDir }
}

function numbered(from: number, count: number): { n: number; key: string }[] {
  return Array.from({ length: count }, (_, n) => ({ n: from + n, key: `k${(from + n) % 500}` }))
}

async function settled(db: Stratalog, clock: VirtualClock): Promise<void> {
  clock.advance(HOUR)
  while ((await db.tier.run()).length > 0);
}

/** Merges what there is, and removes what was merged, an hour later. */
async function mergeAndCollect({ source, clock, root }: Live): Promise<void> {
  await source.tier.resume()
  await settled(source, clock)
  await source.tier.compact()
  clock.advance(2 * HOUR)
  await source.tier.collect()
  expect(await objectsOf(root)).toHaveLength(1)
}

async function objectsOf(root: string): Promise<string[]> {
  const names = await readdir(`${root}/archive/segments/1/0`)
  return names.filter((name) => name.endsWith('.arrow'))
}

async function numbersIn(db: Stratalog): Promise<number[]> {
  const rows = await db.log('a').read().toArray()
  return rows.map(({ n }) => Number(n))
}

async function sumIn(db: Stratalog): Promise<unknown> {
  const answer = await db.query('SELECT count(*)::INT, sum(n)::INT FROM a')
  return (await answer.toJson()).rows
}

const SUM = [[1000, 499_500]]

/** Some rounds: where one segment takes the place of others, it is fetched by the next. */
async function filled(db: Stratalog): Promise<void> {
  for (let round = 0; db.status().restore?.pending.segments !== 0; round++) {
    expect(round).toBeLessThan(10)
    await db.tier.run()
  }
}

test.each(['for reading', 'for writing'] as const)(
  'what the archive merged since is read from where it lies now, opened %s',
  async (how) => {
    const live = await restoredLive()
    const { source, dataDir, clock, root } = live
    const moment = clock.now() - 5500
    const asOf = await source.log('a').read({ asOf: moment }).toArray()
    const hash = await source.log('a').latestHash({ asOf: moment })
    await mergeAndCollect(live)
    const inArchive = await readdir(`${root}/archive`, { recursive: true })
    await using db =
      how === 'for reading'
        ? await Stratalog.openReadOnly({ dataDir }, { clock })
        : await Stratalog.open({ dataDir }, { clock })
    expect(await numbersIn(db)).toEqual(UP_TO(1000))
    expect(await sumIn(db)).toEqual(SUM)
    const answer = await db.query('SELECT count(*)::INT FROM "a$latest"')
    expect((await answer.toJson()).rows).toEqual([[500]])
    expect(await db.log('a').read({ asOf: moment }).toArray()).toHaveLength(asOf.length)
    expect(await db.log('a').latestHash({ asOf: moment })).toBe(hash)
    // Credentials that only read are enough.
    expect(await readdir(`${root}/archive`, { recursive: true })).toEqual(inArchive)
    await source.close()
  },
)

test('the plan says that somebody may still write there', async () => {
  const { archive, clock, root, source } = await restoredLive()
  const forecast = await planRestoreArchive({ archive }, { clock })
  const time = new Date(clock.now() - 1000).toISOString()
  expect(forecast.lastWrite).toMatchObject({ pid: process.pid, time })
  const notesOf = async (ago: number, flags: object): Promise<string> => {
    const notes: string[] = []
    const terminal = { write: async () => {}, note: (line: string) => notes.push(line) }
    const { signal } = new AbortController()
    const now = new VirtualClock(clock.now() + ago)
    const session = { terminal, clock: now, signal, json: false } as unknown as Session
    await restore(session, { archive, dataDir: `${root}/told`, plan: true, ...flags })
    return notes.join('\n')
  }
  expect(await notesOf(0, {})).toMatch(/was written 1\.\d+ s ago, by process \d+ on .*--eager/)
  expect(await notesOf(2 * HOUR, {})).toBe('')
  expect(await notesOf(0, { eager: true })).toBe('')
  await source.close()
})

test('the disk is filled from it, and then needs the archive no more', async () => {
  const live = await restoredLive()
  await mergeAndCollect(live)
  const { dataDir, clock, root, source } = live
  await source.close()
  {
    await using db = await Stratalog.open({ dataDir }, { clock })
    await filled(db)
  }
  await rm(`${root}/archive`, { recursive: true })
  await using db = await Stratalog.openReadOnly({ dataDir }, { clock })
  expect(await numbersIn(db)).toEqual(UP_TO(1000))
  expect(await sumIn(db)).toEqual(SUM)
})

test('what was merged with records that came after the restore is cut where the restore ended', async () => {
  const live = await restoredLive()
  const { source, dataDir, clock, root } = live
  await source.log('a').append(numbered(1000, 100))
  await source.tier.now({ to: 'object' })
  await mergeAndCollect(live)
  await source.close()
  {
    await using reader = await Stratalog.openReadOnly({ dataDir }, { clock })
    expect(await numbersIn(reader)).toEqual(UP_TO(1000))
    expect(await sumIn(reader)).toEqual(SUM)
  }
  {
    await using db = await Stratalog.open({ dataDir }, { clock })
    await db.log('a').append({ n: 1000, key: 'own' })
    await filled(db)
    expect(await numbersIn(db)).toEqual(UP_TO(1001))
  }
  await rm(`${root}/archive`, { recursive: true })
  await using db = await Stratalog.openReadOnly({ dataDir }, { clock })
  expect(await numbersIn(db)).toEqual(UP_TO(1001))
})

test('opened with the archive when its engine is gone, it takes over what that one merged', async () => {
  const live = await restoredLive()
  await mergeAndCollect(live)
  const { dataDir, clock, archive, source } = live
  await source.close()
  await using db = await Stratalog.open({ dataDir, archive }, { clock })
  expect(await numbersIn(db)).toEqual(UP_TO(1000))
  await db.log('a').append({ n: 1000, key: 'own' })
  expect(await db.tier.now({ to: 'object' })).toMatchObject({ pending: 0, failed: [] })
})

test('what the archive let go of for records that the directory lacks is told, and never left out in silence', async () => {
  const live = await restoredLive({ keep: 'latest' })
  const { source, dataDir, clock } = live
  await source.log('a').append(numbered(1000, 500))
  await source.tier.now({ to: 'object' })
  await mergeAndCollect(live)
  await using db = await Stratalog.openReadOnly({ dataDir }, { clock })
  const error = await expectError(numbersIn(db), 'object_not_found')
  expect(error.message).toContain('newer versions of their keys')
  await expectError(sumIn(db), 'object_not_found')
  await source.close()
})

test('what the archive retired since is told, and retired here too by who takes the archive over', async () => {
  const live = await restoredLive({ retention: '3h' })
  const { source, dataDir, clock, archive } = live
  await source.tier.resume()
  clock.advance(4 * HOUR)
  await source.log('a').append({ n: 1, key: 'late' })
  await settled(source, clock)
  clock.advance(2 * HOUR)
  await settled(source, clock)
  await source.tier.collect()
  await using db = await Stratalog.openReadOnly({ dataDir }, { clock })
  const error = await expectError(numbersIn(db), 'object_not_found')
  expect(error.message).toContain('retired')
  await source.close()
  await using owner = await Stratalog.open({ dataDir, archive }, { clock })
  expect(await numbersIn(owner)).toEqual([1])
})
