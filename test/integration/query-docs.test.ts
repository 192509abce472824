/** The SQL examples of docs/sql.md run as they stand. */
import { expect, test } from 'vitest'
import { readText } from '../support/repository.ts'
import { sampleLog, sampleRunner } from '../support/query-logs.ts'
import { sampleBatch, sampleSchema } from '../support/sample-batches.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const SCHEMA = sampleSchema({
  user_id: 'int64',
  event: 'utf8',
  latency: 'float64',
  tags: 'json',
  _time: 'timestamp[ms]',
})

function clicks(from: number, to: number): ReturnType<typeof sampleBatch> {
  const now = Date.now()
  const rows = Array.from({ length: to - from }, (_, index) => ({
    user_id: (from + index) % 11,
    event: ['view', 'click', 'buy'][index % 3],
    latency: index % 250,
    tags: { endpoint: ['/cart', '/home'][index % 2] },
    _time: new Date(now - (to - index) * 1000),
  }))
  return sampleBatch(SCHEMA, rows, { baseOffset: from, shared: true })
}

const examples = [...readText('docs/sql.md').matchAll(/^```sql\n([\s\S]*?)^```$/gm)].map(
  ([, sql]) => sql ?? '',
)

test('every example of docs/sql.md runs and gives rows', async () => {
  const parts = [
    { tier: 'object', batches: [clicks(0, 500)] },
    { tier: 'disk', batches: [clicks(500, 1000)] },
    { tier: 'memory', batches: [clicks(1000, 2000)] },
  ] as const
  const log = await sampleLog(await temporaryDirectory(), 'clicks', [parts], {
    keyColumn: 'user_id',
  })
  const partitions = [{ partition: 0, startOffset: 0, endOffset: 1000 }]
  const logs = [{ name: 'clicks', partitions }]
  const snapshot = { name: 'noon', id: '1', time: '2026-01-01T12:00:00.000Z', logs }
  const { runner } = sampleRunner([log], {}, [{ ...snapshot, bytes: 1, newBytes: 1 }])
  expect(examples.length).toBeGreaterThan(8)
  for (const sql of examples) {
    const { rows } = await (await runner.query(sql)).toJson()
    expect(rows.length, sql).toBeGreaterThan(0)
  }
})
