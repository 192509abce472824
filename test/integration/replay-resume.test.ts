/**
 * A replay whose records move up, taken up again after the archive changed: each sound record is there once, or the
 * replay is refused. Nothing is left out silently.
 */
import { readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { present } from '../../src/base/assert.ts'
import {
  type ReplayFromArchiveOptions,
  type ReplayReport,
  type ResumePoint,
  Stratalog,
  type StratalogOptions,
} from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const SEGMENT_ROWS = 100
const SEGMENTS = 6
const ALL = Array.from({ length: SEGMENTS * SEGMENT_ROWS }, (_, n) => n)
const numbers = (from: number, to: number): number[] => ALL.slice(from * 100, to * 100)

interface Source {
  readonly root: string
  readonly archive: string
  /** Of the segments, in offset order. */
  readonly files: readonly string[]
}

async function source(): Promise<Source> {
  const root = await temporaryDirectory()
  const archive = `file://${root}/archive`
  await using db = await Stratalog.open({ dataDir: join(root, 'data'), archive })
  const log = await db.createLog('log', { schema: { n: 'int32' } })
  for (let part = 0; part < SEGMENTS; part++) {
    await log.append(numbers(part, part + 1).map((n) => ({ n })))
    await db.tier.now({ to: 'object' })
  }
  const folder = join(root, 'archive', 'segments')
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  const files = names.filter((name) => name.endsWith('.arrow')).toSorted()
  expect(files).toHaveLength(SEGMENTS)
  return { root, archive, files: files.map((name) => join(folder, name)) }
}

/** Returns what undoes it. */
function damaged(file: string): () => void {
  const sound = readFileSync(file)
  writeFileSync(
    file,
    sound.map((byte, position) => (position > 64 ? byte ^ 0xff : byte)),
  )
  return () => writeFileSync(file, sound)
}

function missing(file: string): () => void {
  renameSync(file, `${file}-gone`)
  return () => renameSync(`${file}-gone`, file)
}

async function numbersIn(db: Stratalog): Promise<unknown[]> {
  return (await db.log('log').read().toArray()).map(({ n }) => n)
}

/** Stops after so many batches; gives every resume point. */
async function stopped(
  target: Stratalog,
  archive: string,
  batches: number,
  options: ReplayFromArchiveOptions = { filter: () => true },
): Promise<readonly ResumePoint[]> {
  const stop = new AbortController()
  const points: ResumePoint[] = []
  const replay = target.replayFromArchive(archive, {
    ...options,
    signal: stop.signal,
    onProgress: ({ resumePoint }) => {
      points.push(structuredClone(resumePoint()))
      if (points.length === batches) stop.abort()
    },
  })
  await expectError(replay, 'aborted')
  return points
}

function resumed(
  target: Stratalog,
  archive: string,
  resumePoint: ResumePoint | undefined,
  options: ReplayFromArchiveOptions = { filter: () => true },
): Promise<ReplayReport> {
  return target.replayFromArchive(archive, {
    ...options,
    resumePoint: present(resumePoint, 'a batch was given before it stopped'),
  })
}

const open = {
  'an engine in RAM': () => Stratalog.memoryOnly(),
  'a data directory': async () => Stratalog.open({ dataDir: await temporaryDirectory() }),
}

describe.each(Object.entries(open))('a replay with a filter into %s', (_, target) => {
  test.each([
    ['damaged', damaged],
    ['missing', missing],
  ])(
    'goes on with the sound records where some behind its point are %s since',
    async (_w, hurt) => {
      const { archive, files } = await source()
      await using db = await target()
      const [first] = await stopped(db, archive, 3)
      expect(await numbersIn(db)).toEqual(numbers(0, 3))
      hurt(files[1] ?? '')
      const report = await resumed(db, archive, first)
      expect(await numbersIn(db)).toEqual(ALL)
      expect([...report.missing, ...report.corrupt]).toMatchObject([{ from: 100, to: 200 }])
    },
  )

  test('goes on behind damage that was there before, and names it', async () => {
    const { archive, files } = await source()
    await using db = await target()
    damaged(files[1] ?? '')
    const [first] = await stopped(db, archive, 2)
    expect(await numbersIn(db)).toEqual([...numbers(0, 1), ...numbers(2, 3)])
    const report = await resumed(db, archive, first)
    expect(await numbersIn(db)).toEqual([...numbers(0, 1), ...numbers(2, SEGMENTS)])
    expect(report.corrupt).toMatchObject([{ from: 100, to: 200 }])
  })

  test('is refused where records are sound by now that could only come behind later ones', async () => {
    const { archive, files } = await source()
    await using db = await target()
    const repair = damaged(files[1] ?? '')
    const [first] = await stopped(db, archive, 2)
    repair()
    const held = await numbersIn(db)
    const { message } = await expectError(resumed(db, archive, first), 'log_exists')
    expect(message).toContain(
      "The target has 100 records of 'log', partition 0, offsets [100, 300), and the archive has more",
    )
    expect(await numbersIn(db)).toEqual(held)
  })

  test('takes a point from the beginning, and one that is ahead of it, for what they are', async () => {
    const { archive } = await source()
    await using db = await target()
    const points = await stopped(db, archive, 3)
    await expectError(resumed(db, archive, { logs: [] }, {}), 'log_exists')
    const ahead = structuredClone(present(points.at(-1), 'a point'))
    Object.assign(ahead.logs[0]?.partitions[0] ?? {}, { offset: 500, records: 500 })
    await resumed(db, archive, ahead)
    await resumed(db, archive, { logs: [] })
    expect(await numbersIn(db)).toEqual(ALL)
  })

  test('is refused where somebody else has appended meanwhile', async () => {
    const { archive } = await source()
    await using db = await target()
    const points = await stopped(db, archive, 3)
    await db.log('log').append({ n: -1 })
    const refused = resumed(db, archive, points[0])
    expect((await expectError(refused, 'log_exists')).message).toContain('others have appended')
    expect(await numbersIn(db)).toEqual([...numbers(0, 3), -1])
  })
})

test('what a replay that was stopped met, and has no report of, is in that of the one that goes on', async () => {
  const { archive, files } = await source()
  missing(files[0] ?? '')
  damaged(files[1] ?? '')
  damaged(files[4] ?? '')
  const given: number[] = []
  const options = {
    into: (_log: string, batch: { readonly length: number }): void => void given.push(batch.length),
  }
  await using db = await Stratalog.memoryOnly()
  const points = await stopped(db, archive, 2, options)
  const point = JSON.parse(JSON.stringify(points[1])) as ResumePoint
  const lost = { log: 'log', partition: 0 }
  expect(point).toMatchObject({
    logs: [{ name: 'log', partitions: [{ offset: 400, records: 200 }] }],
    missing: [{ ...lost, from: 0, to: 100 }],
    corrupt: [{ ...lost, from: 100, to: 200 }],
  })
  const report = await resumed(db, archive, point, options)
  expect(given).toEqual([100, 100, 100])
  expect(report.missing).toMatchObject([{ ...lost, from: 0, to: 100 }])
  expect(report.corrupt).toMatchObject([
    { ...lost, from: 100, to: 200 },
    { ...lost, from: 400, to: 500 },
  ])
  for (const wrong of [
    { missing: 5 },
    { corrupt: [{}] },
    { logs: [{ ...point.logs[0], gaps: [1] }] },
  ])
    await expectError(
      resumed(db, archive, { ...point, ...(wrong as object) }, options),
      'argument_invalid',
    )
})

test.each<[string, Partial<StratalogOptions>]>([
  ['a WAL', {}],
  ['a WAL and the level `memory`', { defaults: { ack: 'memory' } }],
  ['no WAL, closed in order', { defaults: { wal: false } }],
])('a replay by time into a directory with %s goes on in another process', async (_, options) => {
  const { archive, files } = await source()
  const dataDir = await temporaryDirectory()
  const picked = { since: 0 }
  let points: readonly ResumePoint[]
  {
    await using db = await Stratalog.open({ dataDir, ...options })
    points = await stopped(db, archive, 3, picked)
  }
  damaged(files[1] ?? '')
  await using db = await Stratalog.open({ dataDir, ...options })
  await resumed(db, archive, points[0], picked)
  expect(await numbersIn(db)).toEqual(ALL)
})
