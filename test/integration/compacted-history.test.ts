/** What goes on from a history that records are gone from since: a replay, a fork, a restore. */
import { expect, test } from 'vitest'
import { present } from '../../src/base/assert.ts'
import { type Log, Stratalog, VirtualClock, restoreArchive } from '../../src/index.ts'
import type { ReplayFromArchiveOptions, ResumePoint } from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const HOUR = 3_600_000

interface Source {
  readonly root: string
  readonly archive: string
  readonly clock: VirtualClock
  readonly db: Stratalog
  readonly log: Log
}

async function source(storage: object = { keep: 'latest' }): Promise<Source> {
  const root = await temporaryDirectory()
  const clock = new VirtualClock()
  const archive = `file://${root}/archive`
  const db = await Stratalog.open({ dataDir: `${root}/data`, archive }, { clock })
  await db.tier.pause()
  const log = await db.createLog('log', {
    keyColumn: 'key',
    schema: { key: 'utf8', n: 'int32' },
    storage: { memoryTtl: '1m', diskAfter: '1m', archiveAfter: '1m', ...storage },
  })
  return { root, archive, clock, db, log }
}

/** Lets older versions of keys go that are half of their segment. */
async function settled({ db, clock }: Source): Promise<void> {
  clock.advance(HOUR)
  await db.tier.resume()
  while ((await db.tier.run()).length > 0);
}

/** Three segments of ten; of the first all but the last record go, of the second the first half. */
async function filled({ db, log }: Source): Promise<void> {
  const keys = [
    () => 'x',
    (row: number) => `k${row}`,
    (row: number) => (row < 5 ? `k${row}` : `u${row}`),
  ]
  for (const [part, keyOf] of keys.entries()) {
    await log.append(
      Array.from({ length: 10 }, (_, row) => ({ key: keyOf(row), n: part * 10 + row })),
    )
    await db.tier.now()
  }
}

async function numbersIn(log: Log): Promise<unknown[]> {
  return (await log.read().toArray()).map(({ n }) => n)
}

/** A replay that stops before step `steps`; gives the first resume point. */
async function stopped(
  target: Stratalog,
  archive: string,
  picked: ReplayFromArchiveOptions,
  steps: number,
): Promise<ResumePoint> {
  const stop = new AbortController()
  let first: ResumePoint | undefined
  let count = 0
  const replay = target.replayFromArchive(archive, {
    ...picked,
    speed: 'stepped',
    stepRecords: 5,
    signal: stop.signal,
    step: async () => {
      if (++count === steps) stop.abort()
    },
    onProgress: (progress) => {
      first ??= progress.resumePoint()
    },
  })
  await expectError(replay, 'aborted')
  return present(first, 'a batch was given before it stopped')
}

test.each([
  ['an engine in RAM with a filter', null, { filter: () => true }],
  ['a data directory with a time', 'target', { since: 0 }],
])(
  'a resumed replay into %s goes on where it was after a compaction behind the point',
  async (_, name, picked) => {
    const from = await source()
    await using _db = from.db
    await filled(from)
    const dataDir = name === null ? undefined : `${from.root}/${name}`
    const open = (directory = dataDir): Promise<Stratalog> =>
      directory === undefined ? Stratalog.memoryOnly() : Stratalog.open({ dataDir: directory })
    await using behind = await open()
    // The point is one that was written a step before the last records came.
    const resumePoint = await stopped(behind, from.archive, picked, 3)
    const held = await numbersIn(behind.log('log'))
    await settled(from)
    await from.db.tier.compact()
    expect(await numbersIn(from.log)).toHaveLength(16)
    await behind.replayFromArchive(from.archive, { ...picked, resumePoint })
    const left = await from.log.read({ onGap: 'skip' }).toArray()
    const rest = left.filter(({ _offset }) => Number(_offset) >= held.length).map(({ n }) => n)
    expect(await numbersIn(behind.log('log'))).toEqual([...held, ...rest])
    expect(await behind.log('log').latestHash()).toBe(await from.log.latestHash())
  },
)

test('a resumed replay that records move up in goes on after retention, and names what went meanwhile', async () => {
  const from = await source({ retention: '90m' })
  await using _db = from.db
  await filled(from)
  await using target = await Stratalog.memoryOnly()
  const picked = { filter: () => true }
  const resumePoint = await stopped(target, from.archive, picked, 3)
  from.clock.advance(2 * HOUR)
  await from.log.append({ key: 'x', n: 30 })
  await from.db.tier.now()
  await settled(from)
  expect(await numbersIn(from.log)).toEqual([30])
  const held = await numbersIn(target.log('log'))
  const { logs } = await target.replayFromArchive(from.archive, { ...picked, resumePoint })
  expect(await numbersIn(target.log('log'))).toEqual([...held, 30])
  expect(logs[0]?.gaps).toEqual([{ partition: 0, from: held.length, to: 30, cause: 'retired' }])
})

test('a fork and a restore know producers as of where they end, where nothing is left before the offset', async () => {
  const from = await source()
  const { log, archive, root } = from
  const append = (to: Log, sequence: number, keys: readonly string[]): ReturnType<Log['append']> =>
    to.append(
      keys.map((key, n) => ({ key, n })),
      { producer: { producerId: 'p', epoch: 0, sequence } },
    )
  const own = ['a', 'b', 'c', 'd', 'e']
  const rewritten = ['v', 'w', 'x', 'y', 'z']
  {
    await using db = from.db
    await append(log, 0, own)
    await db.tier.now()
    await append(log, 1, rewritten)
    await append(log, 2, rewritten)
    await db.tier.now()
    await append(log, 3, rewritten)
    await db.tier.now()
    await settled(from)
    // Of the second segment only the last record is there.
    const left = (await log.read().toArray()).map((row) => row['_offset'])
    expect(left).toEqual([0, 1, 2, 3, 4, 14, 15, 16, 17, 18, 19])
    await goesOn(await db.fork('log', 'fork', { atOffset: 10 }))
  }
  const dataDir = `${root}/restored`
  const toOffsets = [{ log: 'log', partition: 0, offset: 10 }]
  await restoreArchive({ archive, dataDir, logs: ['log'], toOffsets })
  await using restored = await Stratalog.open({ dataDir })
  await goesOn(restored.log('log'))

  async function goesOn(cut: Log): Promise<void> {
    expect(cut.range()).toMatchObject({ end: 5 })
    expect(await cut.append({ key: 'other', n: 0 })).toMatchObject({ offset: 5 })
    expect(await append(cut, 0, own)).toMatchObject({ offset: 0, isDuplicate: true })
    // Its offsets are others' now, and it is not there.
    expect(await append(cut, 1, rewritten)).toMatchObject({ offset: 6 })
    expect(await cut.read().toArray()).toHaveLength(11)
  }
})
