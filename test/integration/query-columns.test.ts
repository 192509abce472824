import { readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Stratalog } from '../../src/index.ts'
import type { WantedParts } from '../../src/query/query-ports.ts'
import { sampleLog, sampleRunner } from '../support/query-logs.ts'
import { sampleBatch, sampleSchema } from '../support/sample-batches.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const RECORDS = 40_000
const START = Date.UTC(2026, 0, 1)

/** Most of a record's bytes are noise that does not compress. */
function record(index: number): Record<string, unknown> {
  const noise = Math.imul(index + 1, 2_654_435_761) >>> 0
  return {
    seen: new Date(START + index * 1000),
    kind: ['view', 'buy', 'return'][index % 3],
    amount: index % 100,
    text: `${noise.toString(36)}${(noise * 7919).toString(36)}${Math.imul(noise, 40_503).toString(36)}`.repeat(
      3,
    ),
  }
}

/** Leaves the records in the archive only. */
async function archived(folder: string, segmentFormat: 'arrow' | 'parquet'): Promise<string> {
  const url = `file://${join(folder, 'archive')}`
  await using db = await Stratalog.open({ dataDir: join(folder, 'data'), archive: url })
  const log = await db.createLog('events', {
    timeColumn: 'seen',
    storage: {
      mode: 'hybrid',
      memoryTtl: 0,
      diskAfter: 0,
      archiveAfter: 0,
      diskTtl: 0,
      segmentFormat,
    },
  })
  // At once, so that no round of tiering makes a segment of some of them.
  await log.append(Array.from({ length: RECORDS }, (_, index) => record(index)))
  await db.tier.now({ to: 'object' })
  // Each round takes what the one before made possible.
  for (let round = 0; round < 5; round++) await db.tier.run()
  expect(db.status().logs[0]?.partitions[0]?.tiers).toMatchObject({
    memory: { records: 0 },
    disk: { records: 0 },
  })
  return url
}

async function bytesBelow(path: string): Promise<number> {
  let sum = 0
  for (const entry of await readdir(path, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) sum += (await stat(join(entry.parentPath, entry.name))).size
  return sum
}

test.each([
  ['thread', 'arrow'],
  ['process', 'parquet'],
] as const)(
  '%s: of a segment of %s in the archive a query fetches the columns and blocks that it reads, once',
  async (queryIsolation, segmentFormat) => {
    const folder = await temporaryDirectory()
    const archive = await archived(folder, segmentFormat)
    const dataDir = join(folder, 'data')
    const archiveBytes = await bytesBelow(join(folder, 'archive'))
    await using db = await Stratalog.open({ dataDir, archive, queryIsolation })
    const cached = async (): Promise<number> =>
      (await bytesBelow(join(dataDir, 'cache'))) +
      (await bytesBelow(join(dataDir, 'cache-columns')))
    const ask = async (sql: string): Promise<[readonly unknown[], number]> => {
      const result = await db.query(sql)
      const rows = await result.toArray()
      return [rows, (await result.stats).requests]
    }
    const expected = (index: number): number =>
      Array.from({ length: RECORDS }, (_, at) => at)
        .filter((at) => at % 3 === index)
        .reduce((sum, at) => sum + (at % 100), 0)
    const byKind = 'SELECT kind, sum(amount)::INT AS total FROM events GROUP BY kind ORDER BY kind'
    const totals = [
      { kind: 'buy', total: expected(1) },
      { kind: 'return', total: expected(2) },
      { kind: 'view', total: expected(0) },
    ]

    const [rows, requests] = await ask(byKind)
    expect(rows).toEqual(totals)
    expect(requests).toBeGreaterThan(0)
    expect(await cached()).toBeGreaterThan(1000)
    expect(await cached()).toBeLessThan(archiveBytes / 3)
    expect(await ask(byKind)).toEqual([totals, 0])

    // One more column, of the block that holds the record.
    const before = await cached()
    const one = "SELECT text FROM events WHERE seen = TIMESTAMP '2026-01-01 00:00:07'"
    expect((await ask(one))[0]).toEqual([{ text: record(7)['text'] }])
    const added = (await cached()) - before
    expect(added).toBeGreaterThan(0)
    expect(added).toBeLessThan(archiveBytes / 2)

    // Most of it: the rest comes along.
    const [all] = await ask(
      'SELECT count(DISTINCT text)::INT AS n, max(amount)::INT AS most FROM events',
    )
    expect(all).toEqual([{ n: RECORDS, most: 99 }])
    expect(await ask(byKind)).toEqual([totals, 0])
  },
)

test('a file that has not what a query reads of a segment costs it the whole segment, and no wrong row', async () => {
  const directory = await temporaryDirectory()
  const schema = sampleSchema({ id: 'int32', _time: 'timestamp[ms]' })
  const rows = Array.from({ length: 50 }, (_, id) => ({ id, _time: new Date(id) }))
  const batches = [sampleBatch(schema, rows)]
  const log = await sampleLog(directory, 'log', [[{ tier: 'object', batches }]])
  const short = join(directory, 'short')
  await writeFile(short, new Uint8Array(100))
  const asked: (WantedParts | null)[] = []
  const { runner } = sampleRunner([log], {}, [], ({ segment }, wanted) => {
    asked.push(wanted)
    const { length, object } = segment
    const local = { isCached: false, requests: 1, release: () => {} }
    const place = { start: length - 100, end: length, position: 0 }
    return Promise.resolve(
      wanted === null
        ? { ...local, path: object?.object ?? '' }
        : { ...local, path: short, files: [{ path: short, places: [place] }] },
    )
  })
  expect((await (await runner.query('SELECT sum(id) AS n FROM log')).toJson()).rows).toEqual([
    [1225],
  ])
  expect(asked.map((wanted) => wanted && [...wanted.fields])).toEqual([['id'], null])
})
