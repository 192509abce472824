import { expect, test } from 'vitest'
import type { LogView } from '../../../src/log/log-view.ts'
import { sqlWords } from '../../../src/query/pinned-tables.ts'
import { parseTableName, shownColumns, tableColumns } from '../../../src/query/table-columns.ts'
import { sampleLog } from '../../support/query-logs.ts'
import { sampleSchema } from '../../support/sample-batches.ts'

test('a table name is a log, one side of it, or its newest records', () => {
  const tiers = ['memory', 'disk', 'object']
  expect(parseTableName('Clicks')).toEqual({ log: 'clicks', tiers, isLatest: false })
  expect(parseTableName('clicks$Latest')).toEqual({ log: 'clicks', tiers, isLatest: true })
  expect(parseTableName('clicks$HOT')).toMatchObject({ log: 'clicks', tiers: ['memory'] })
  expect(parseTableName('a.b-c$cold')).toMatchObject({ log: 'a.b-c', tiers: ['disk', 'object'] })
  expect(parseTableName('clicks$warm')).toBeNull()
  expect(parseTableName('clicks$constructor')).toBeNull()
})

test('the words of a statement are its identifiers and texts', () => {
  const words = sqlWords(
    `SELECT Ärger, "a.b-c$hot", 'it''s', x.y FROM Clicks$disk WHERE "q""q" = 1`,
  )
  expect([...words]).toEqual([
    'select',
    'ärger',
    'a.b-c$hot',
    "it's",
    'x',
    'y',
    'from',
    'clicks$disk',
    'where',
    'q"q',
  ])
})

async function names(view: LogView, named: readonly string[]): Promise<readonly string[]> {
  const columns = tableColumns(view, (column) => named.includes(column))
  // What counts rows reads the first.
  expect(columns[0]?.origin.kind).toBe('partition')
  return shownColumns(columns).map(({ name, origin }) => `${name} ${origin.kind}`)
}

test('the user’s columns come first, and the key and the tier only when they are named', async () => {
  const schemas = [sampleSchema({ id: 'int64', seen: 'timestamp[ns]', _time: 'timestamp[ms]' })]
  const stamped = (await sampleLog('', 'a', [], { schemas })).pin()
  expect(await names(stamped, [])).toEqual([
    'id field',
    'seen field',
    '_offset offset',
    '_partition partition',
    '_time time',
  ])
  const own = (
    await sampleLog('', 'a', [], {
      schemas: [sampleSchema({ at: 'timestamp[s]' })],
      timeColumn: 'at',
      keyColumn: 'at',
    })
  ).pin()
  expect(await names(own, ['_key', '_tier'])).toEqual([
    'at time',
    '_offset offset',
    '_partition partition',
    '_time time',
    '_key key',
    '_tier tier',
  ])
  const unseen = (await sampleLog('', 'a', [], { schemas: [] })).pin()
  expect(await names(unseen, [])).toEqual(['_offset offset', '_partition partition', '_time time'])
})
