/** Continuous queries of an engine in this process and of a client: the same rows, and the same places to go on. */
import { describe, expect, test } from 'vitest'
import type { Row, WindowRows } from '../../src/client/index.ts'
import type { StreamResumePoint } from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'
import type { OpenStore } from './record-store.ts'

const START = Date.UTC(2026, 0, 1)
const second = (count: number): Date => new Date(START + count * 1_000)

/** Up to `limit` rows, and where the query is behind them. */
async function take(
  windows: WindowRows,
  limit: number,
): Promise<{ readonly rows: Row[]; readonly point: StreamResumePoint | null }> {
  const rows: Row[] = []
  if (limit > 0)
    for await (const row of windows) {
      rows.push(row)
      if (rows.length === limit) break
    }
  return { rows, point: windows.resumePoint }
}

export function windowRowsContract(of: string, open: () => Promise<OpenStore>): void {
  let names = 0
  const fresh = (): string => `windows-${process.pid}-${names++}`

  describe(`continuous queries of ${of}`, () => {
    test('give rows in types of JavaScript, and go on behind any of them', async () => {
      const { db } = await open()
      const log = await db.createLog(fresh(), { timeColumn: 'moment' })
      const big = 9_007_199_254_740_993n
      const raw = new Uint8Array([0, 255])
      await log.append([
        { moment: second(0), key: 'a', big, raw },
        { moment: second(0.5), key: 'b', big: 1n, raw },
        { moment: second(0.7), key: 'a', big: 2n, raw },
        { moment: second(1), key: 'a', big: 3n, raw },
        { moment: second(5), key: 'c', big: -big, raw },
      ])
      const sql = `SELECT key, count(*) AS n, max(big) AS big, any_value(raw) AS raw FROM "${log.name}"
        GROUP BY key, TUMBLE(moment, INTERVAL 1 SECOND)`
      const options = { live: false, late: 'update' } as const
      const whole = db.streamSql(sql, options)
      expect([whole.resumePoint, whole.columns]).toEqual([null, null])
      const { rows: all, point: last } = await take(whole, Infinity)
      const window = (from: number): object => ({
        window_start: second(from),
        window_end: second(from + 1),
      })
      expect(all).toEqual([
        { ...window(0), key: 'a', n: 2, big, raw },
        { ...window(0), key: 'b', n: 1, big: 1, raw },
        { ...window(1), key: 'a', n: 1, big: 3, raw },
        { ...window(5), key: 'c', n: 1, big: -big, raw },
      ])
      expect(whole.columns?.map(({ name }) => name)).toEqual(Object.keys(all[0] ?? {}))
      for (let taken = 1; taken <= all.length; taken++) {
        const { rows, point } = await take(db.streamSql(sql, options), taken)
        expect(rows).toEqual(all.slice(0, taken))
        const resumePoint = JSON.parse(JSON.stringify(point)) as StreamResumePoint
        const rest = await take(db.streamSql(sql, { ...options, resumePoint }), Infinity)
        expect(rest.rows, `after ${taken}`).toEqual(all.slice(taken))
      }
      const after = await take(db.streamSql(sql, { ...options, resumePoint: last }), Infinity)
      expect(after.rows).toEqual([])
    })

    test('follow a log with parameters, until their signal fires or their reader leaves', async () => {
      const { db } = await open()
      const log = await db.createLog(fresh(), { timeColumn: 'moment' })
      await log.append([
        { moment: second(0), n: 1n },
        { moment: second(1), n: 2n },
      ])
      const sql = `SELECT sum(n) AS total FROM "${log.name}" WHERE moment >= ? GROUP BY TUMBLE(moment, INTERVAL 1 SECOND)`
      const controller = new AbortController()
      const totals: unknown[] = []
      const windows = db.streamSql(sql, {
        parameters: [second(0)],
        since: second(0),
        signal: controller.signal,
      })
      await windows.open()
      for await (const { total } of windows) {
        totals.push(total)
        if (totals.length === 1) await log.append({ moment: second(2), n: 7n })
        else controller.abort()
      }
      expect(totals).toEqual([1, 2])
      await using left = db.streamSql(sql, { parameters: [second(0)] })
      for await (const { total } of left) {
        expect(total).toBe(1)
        break
      }
      await using closed = db.streamSql(sql, { parameters: [second(0)] })
      await closed.open()
      await closed.close()
    })

    test('name what is wrong by the same code, and are read once', async () => {
      const { db } = await open()
      const log = await db.createLog(fresh(), { timeColumn: 'moment' })
      const sql = `SELECT count(*) AS n FROM "${log.name}" GROUP BY TUMBLE(moment, INTERVAL 1 SECOND)`
      await log.append({ moment: second(0) })
      const all = (windows: WindowRows): Promise<unknown> => take(windows, Infinity)
      await expectError(all(db.streamSql(`SELECT * FROM "${log.name}"`)), 'query_not_streamable')
      await expectError(all(db.streamSql(sql.replace(log.name, 'none'))), 'log_not_found')
      await expectError(db.streamSql(sql.replace('count(*)', 'nope')).open(), 'query_invalid')
      const { point } = await take(db.streamSql(sql, { live: false }), 1)
      const other = { resumePoint: point, live: false }
      await expectError(all(db.streamSql(sql.replace('AS n', 'AS m'), other)), 'argument_invalid')
      await expectError(all(db.streamSql(sql, { ...other, from: 0 })), 'argument_invalid')
      const once = db.streamSql(sql, { live: false })
      await all(once)
      await expectError(all(once), 'argument_invalid')
      const fired = db.streamSql(sql, { signal: AbortSignal.abort() })
      expect(await take(fired, Infinity)).toMatchObject({ rows: [] })
    })
  })
}
