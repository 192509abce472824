/** The SQL examples of docs/streaming.md run as they stand. */
import { expect, test } from 'vitest'
import { Stratalog } from '../../src/index.ts'
import { readText } from '../support/repository.ts'
import { allOf } from '../support/stream-rows.ts'

const examples = [...readText('docs/streaming.md').matchAll(/^```sql\n([\s\S]*?)^```$/gm)].map(
  ([, sql]) => sql ?? '',
)

test('every example of docs/streaming.md runs and gives rows', async () => {
  await using db = await Stratalog.memoryOnly()
  const log = await db.createLog('clicks', { timeColumn: 'timestamp', keyColumn: 'user_id' })
  const now = Date.now()
  await log.append(
    Array.from({ length: 1_000 }, (_, index) => ({
      user_id: index % 11,
      event: ['view', 'click', 'buy'][index % 3],
      latency: index % 250,
      tags: { endpoint: ['/cart', '/home'][index % 2] },
      timestamp: new Date(now - (1_000 - index) * 1_000),
    })),
  )
  expect(examples.length).toBeGreaterThan(2)
  for (const sql of examples) {
    const rows = await allOf(db.streamSql(sql, { live: false }))
    expect(rows.length, sql).toBeGreaterThan(0)
  }
  const batch =
    'SELECT TUMBLE(_time, INTERVAL 5 MINUTES) AS start, count(*) AS n FROM clicks GROUP BY 1 ORDER BY 1'
  const stream = 'SELECT count(*) AS n FROM clicks GROUP BY TUMBLE(_time, INTERVAL 5 MINUTES)'
  const windows = await allOf(db.streamSql(stream, { live: false }))
  expect(await (await db.query(batch)).toArray()).toEqual(
    windows.map(({ window_start: start, n }) => ({ start, n })),
  )
})
