/** SQL while records move between tiers: what plain DuckDB gives over the same records, whatever is under way. */
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import { MemoryLogger } from '../../src/base/logger.ts'
import { present } from '../../src/base/assert.ts'
import { randomFraction, seededRandom } from '../../src/base/random.ts'
import { type Log, type StorageChanges, Stratalog } from '../../src/index.ts'
import {
  FAMILY_TYPES,
  type PlacedRow,
  comparable,
  plainTables,
  queryFamily,
} from '../support/query-family.ts'
import { ISOLATIONS } from '../support/query-logs.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const PARTITIONS = 3
const ROWS = 900
const CHUNK = 30
const NAMES = ['moving', 'other']
/** Queries at least, and rounds of all moves. */
const QUERIES = 60
const ROUNDS = 4

/** A log, all that is ever appended to it, and how much of each partition was acknowledged. */
interface Moving {
  readonly name: string
  readonly log: Log
  readonly rows: readonly (readonly PlacedRow[])[]
  readonly ends: number[]
}

test.each(ISOLATIONS)(
  '%s: generated queries give what plain DuckDB gives while the records move',
  async (queryIsolation) => {
    const root = await temporaryDirectory()
    const archive = pathToFileURL(`${root}/archive`).href
    const logger = new MemoryLogger()
    const place = { dataDir: `${root}/data`, archive, queryIsolation }
    await using db = await Stratalog.open(place, { logger })
    const family = queryFamily(7)
    const logs = await Promise.all(
      NAMES.map(async (name): Promise<Moving> => {
        const options = { schema: FAMILY_TYPES, partitions: PARTITIONS, timeColumn: 'happened' }
        const log = await db.createLog(name, options)
        const rows = Array.from({ length: PARTITIONS }, (_, _partition) =>
          Array.from({ length: ROWS }, (__, _offset) => ({
            ...family.row(_offset),
            _offset,
            _partition,
          })),
        )
        return { name, log, rows, ends: rows.map(() => 0) }
      }),
    )
    const plain = await plainTables(
      Object.fromEntries(logs.map(({ name, rows }) => [name, rows.flat()])),
    )
    const random = seededRandom(11)
    const read = { memory: 0, disk: 0, object: 0 }
    let [queries, isOver] = [0, false]
    const ask = async (): Promise<void> => {
      const query = family.query({ table: 'moving', other: 'other', withTiers: false })
      const bounds = logs.map((moving) => boundOf(moving, randomFraction(random) < 0.5))
      const isSplit = randomFraction(random) < 0.3
      const ours = await db.query(comparable(pinned(query, bounds, isSplit)))
      const { rows, stats } = await ours.toJson()
      const expected = await plain(comparable(pinned(query, bounds, false)))
      expect(JSON.stringify(rows[0]?.[0] ?? null), `${query} with ${bounds.join()}`).toBe(
        JSON.stringify(expected),
      )
      for (const tier of ['memory', 'disk', 'object'] as const)
        read[tier] += stats.recordsByTier[tier]
      queries++
    }
    const asking = async (): Promise<void> => {
      while (!isOver) await ask()
    }
    const moving = async (): Promise<void> => {
      for (let round = 0; round < ROUNDS || queries < QUERIES; round++) {
        await moveOnce(db, logs, round)
      }
    }
    await Promise.all([moving().finally(() => (isOver = true)), asking(), asking()])
    // Nothing failed that was tried again, and no copy was taken from under a reader.
    expect(logger.entries.filter(({ level }) => level === 'warn' || level === 'error')).toEqual([])
    // Each tier was asked, or nothing was shown.
    expect(Math.min(read.memory, read.disk, read.object)).toBeGreaterThan(0)
  },
)

/** What a query sees is pinned to what was acknowledged when it was asked. */
function boundOf({ name, ends }: Moving, isForEach: boolean): string {
  const least = Math.min(...ends)
  if (!isForEach) return `SELECT * FROM ${name} WHERE _offset < ${least}`
  const cases = ends.map((end, partition) => `WHEN ${partition} THEN ${end}`).join(' ')
  return `SELECT * FROM ${name} WHERE _offset < CASE _partition ${cases} END`
}

/** `isSplit`: each log is asked by its two sides, which have every record once between them. */
function pinned(query: string, bounds: readonly string[], isSplit: boolean): string {
  return query.replaceAll(/\b(moving|other)\b/g, (name) => {
    const bound = present(bounds[NAMES.indexOf(name)], 'the bound of a log')
    if (!isSplit) return `(${bound})`
    const side = (which: string): string => bound.replace(name, `${name}$${which}`)
    return `(${side('hot')} UNION ALL ${side('cold')})`
  })
}

/** Every move once, by its public call, with records that come in between. */
async function moveOnce(db: Stratalog, logs: readonly Moving[], round: number): Promise<void> {
  const alter = (storage: StorageChanges): Promise<unknown> =>
    Promise.all(NAMES.map((name) => db.alterLog(name, { storage })))
  const appended = (): Promise<unknown> => Promise.all(logs.map(appendChunk))
  const moved = async (report: Promise<{ readonly failed: readonly unknown[] }>): Promise<void> =>
    expect((await report).failed).toEqual([])
  await alter({ mode: 'hybrid', segmentFormat: round % 3 === 2 ? 'parquet' : 'arrow' })
  await appended()
  await moved(db.tier.now({ to: 'disk' }))
  await appended()
  // RAM lets go of what is on disk, and of nothing else.
  await alter({ memoryTtl: 1, diskAfter: '1h', archiveAfter: '1h' })
  await db.tier.run()
  await moved(db.tier.now())
  await appended()
  await moved(db.tier.compact())
  await db.snapshot({ logs: [present(NAMES[round % 2], 'a log')] })
  await alter({ archiveAfter: 1, diskTtl: 1 })
  await db.tier.run()
  await appended()
  // What compaction put another segment in the place of goes as soon as nobody reads it.
  await db.tier.collect({ grace: 0 })
  // Comes back from the archive, and goes again.
  await alter({ mode: 'persistent' })
  await appended()
  await db.tier.run()
  await alter({ mode: 'hybrid', parquetAfter: round % 2 === 0 ? 1 : null, memoryTtl: '1h' })
  await db.tier.run()
  await alter({ mode: 'memory' })
  await appended()
  for (const { id } of await db.snapshots()) await db.deleteSnapshot(id)
}

async function appendChunk({ log, rows, ends }: Moving): Promise<void> {
  await Promise.all(
    rows.map(async (all, partition) => {
      const from = present(ends[partition], 'the end of a partition')
      const chunk = all.slice(from, from + CHUNK)
      if (chunk.length === 0) return
      const own = chunk.map(({ _offset, _partition, ...row }) => row)
      const { offset, count } = await log.append(own, { partition })
      expect([offset, count]).toEqual([from, chunk.length])
      ends[partition] = from + count
    }),
  )
}
