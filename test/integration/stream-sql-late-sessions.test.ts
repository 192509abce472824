/** `late: 'update'` of sessions: rows that take each other's place leave what one query over all records gives. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { StreamResumePoint } from '../../src/index.ts'
import { START, type StreamRow, at, clickLog, eventually } from '../support/stream-rows.ts'

const GAP_MS = 1_000
const SESSIONS = `SELECT user_id, count(*) AS n, list(_offset ORDER BY _partition, _offset) AS offsets FROM clicks
  WHERE latency > 0 GROUP BY user_id, SESSION(timestamp, INTERVAL 1 SECOND)`
const AT_ONCE = `WITH marked AS (
    SELECT *, coalesce(timestamp - lag(timestamp) OVER keys >= INTERVAL 1 SECOND, true) AS begins
    FROM clicks WHERE latency > 0 WINDOW keys AS (PARTITION BY user_id ORDER BY timestamp, _partition, _offset)
  ), numbered AS (
    SELECT *, count(*) FILTER (begins) OVER (PARTITION BY user_id ORDER BY timestamp, _partition, _offset
      ROWS UNBOUNDED PRECEDING) AS number FROM marked
  )
  SELECT min(timestamp) AS window_start, max(timestamp) + INTERVAL 1 SECOND AS window_end, user_id, count(*) AS n,
    list(_offset ORDER BY _partition, _offset) AS offsets
  FROM numbered GROUP BY user_id, number`

interface Kept {
  readonly user: unknown
  readonly start: number
  readonly end: number
  readonly row: string
}

function kept(row: StreamRow): Kept {
  const [start, end] = [Number(row['window_start']), Number(row['window_end'])]
  return { user: row['user_id'], start, end, row: JSON.stringify(row) }
}

/** A row takes the place of the rows of its keys whose windows lie in its own. */
function replaced(rows: readonly StreamRow[]): string[] {
  let all: Kept[] = []
  for (const row of rows) {
    const added = kept(row)
    const { user, start, end } = added
    all = all.filter((one) => one.user !== user || one.start < start || one.end > end)
    all.push(added)
  }
  return all.map(({ row }) => row).toSorted()
}

const click = fc.record({
  user_id: fc.integer({ min: 1, max: 2 }),
  latency: fc.integer({ min: 0, max: 4 }),
  time: fc.integer({ min: 0, max: 20_000 }),
})
const appends = fc.array(
  fc.record({
    partition: fc.integer({ min: 0, max: 1 }),
    clicks: fc.array(click, { minLength: 1, maxLength: 6 }),
    /** Whether another query goes on from the resume point behind it. */
    isResumed: fc.boolean(),
  }),
  { minLength: 2, maxLength: 8 },
)

test('shuffled and late records leave the sessions of one query over all of them, through resumptions', async () => {
  await fc.assert(
    fc.asyncProperty(appends, fc.constantFrom(0, 500, 5_000), async (all, lateness) => {
      await using db = await clickLog(2)
      const log = db.log('clicks')
      const rows: StreamRow[] = []
      let resumePoint: StreamResumePoint | null = null
      let expected = 0
      const follow = () => {
        const stream = db.streamSql(SESSIONS, { late: 'update', lateness, resumePoint })
        const reading = (async () => {
          for await (const row of stream) rows.push(row)
        })()
        return { stream, reading }
      }
      let { stream, reading } = follow()
      const append = async (partition: number, clicks: readonly StreamRow[]): Promise<void> => {
        await log.append(clicks, { partition })
        expected += clicks.length
        await eventually(() => stream.stats?.records).toBe(expected)
      }
      for (const { partition, clicks, isResumed } of all) {
        await append(
          partition,
          clicks.map(({ time, ...rest }) => ({ ...rest, timestamp: new Date(START + time) })),
        )
        if (!isResumed) continue
        await stream.close()
        await reading
        resumePoint = JSON.parse(JSON.stringify(stream.resumePoint)) as StreamResumePoint
        ;({ stream, reading } = follow())
      }
      // Closes all that is open.
      for (const partition of [0, 1])
        await append(partition, [{ user_id: 9, latency: 0, timestamp: new Date(START + 60_000) }])
      const atOnce = replaced(await (await db.query(AT_ONCE)).toArray())
      await eventually(() => replaced(rows)).toEqual(atOnce)
      await stream.close()
      await reading
    }),
    { numRuns: 5 },
  )
})

test('a late record makes one session of two that were given, and of one of them and one that is open', async () => {
  await using db = await clickLog()
  const log = db.log('clicks')
  const sql = `SELECT count(*) AS n FROM clicks GROUP BY SESSION(_time, INTERVAL ${GAP_MS} MILLISECONDS)`
  const stream = db.streamSql(sql, { late: 'update' })
  const rows = stream[Symbol.asyncIterator]()
  const next = async (): Promise<unknown> => {
    const { value } = await rows.next()
    const { window_start: start, window_end: end, n } = value as StreamRow
    return [Number(start) - START, Number(end) - START, n]
  }
  await log.append(at(0, 1_500, 3_000))
  expect([await next(), await next()]).toEqual([
    [0, 1_000, 1],
    [1_500, 2_500, 1],
  ])
  await log.append(at(800))
  expect(await next()).toEqual([0, 2_500, 3])
  await log.append(at(2_200))
  await log.append(at(9_000))
  expect(await next()).toEqual([0, 4_000, 5])
  expect(stream.stats).toMatchObject({ records: 6, late: 2 })
  await stream.close()
})

test('a record within the lateness is in a session that begins before those that are open', async () => {
  await using db = await clickLog()
  const log = db.log('clicks')
  const sql = `SELECT count(*) AS n FROM clicks GROUP BY SESSION(_time, INTERVAL ${GAP_MS} MILLISECONDS)`
  for (const late of ['drop', 'update'] as const) {
    const stream = db.streamSql(sql, { late, lateness: 5_000, from: 'now' })
    const rows = stream[Symbol.asyncIterator]()
    const first = rows.next()
    await eventually(() => stream.stats).not.toBe(null)
    const start = late === 'drop' ? 0 : 100_000
    const append = (...times: number[]) => log.append(at(...times.map((time) => start + time)))
    await append(0, 10_000)
    expect((await first).value).toMatchObject({ n: 1 })
    const second = rows.next()
    await append(9_100)
    await append(30_000)
    const { value } = await second
    expect([Number(value?.['window_start']) - START - start, value?.['n']]).toEqual([9_100, 2])
    await stream.close()
  }
})
