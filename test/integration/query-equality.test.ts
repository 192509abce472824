import fc from 'fast-check'
import { expect, test } from 'vitest'
import { present } from '../../src/base/assert.ts'
import { columnReader } from '../../src/format/column-values.ts'
import type { Tier } from '../../src/format/manifest.ts'
import { arbitraryBatch } from '../support/arbitrary-columns.ts'
import {
  FAMILY_TYPES,
  type PlacedRow,
  comparable,
  plainTables,
  queryFamily,
} from '../support/query-family.ts'
import { ISOLATIONS, type TierPart, sampleLog, sampleRunner } from '../support/query-logs.ts'
import { cutBatch, sampleBatch, sampleSchema } from '../support/sample-batches.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

test.each(ISOLATIONS)(
  '%s: generated queries give what plain DuckDB gives over the same records',
  async (isolation) => {
    const schema = sampleSchema(FAMILY_TYPES)
    const family = queryFamily(42)
    const layout: readonly (readonly [Tier, number])[][] = [
      [
        ['object', 300],
        ['object', 201],
        ['disk', 333],
        ['memory', 500],
        ['memory', 77],
      ],
      [
        ['disk', 5],
        ['memory', 2100],
      ],
      [['object', 2500]],
    ]
    const rows: PlacedRow[] = []
    const partitions = layout.map((parts, partition) => {
      let offset = 0
      return parts.map(([tier, length]): TierPart => {
        const own = Array.from({ length }, (_, index) => ({
          ...family.row(offset + index),
          _offset: offset + index,
          _partition: partition,
          _tier: tier,
        }))
        rows.push(...own)
        const batch = sampleBatch(schema, own, { baseOffset: offset, shared: tier === 'memory' })
        offset += length
        return { tier, batches: cutBatch(batch, [length >> 1]) }
      })
    })
    const log = await sampleLog(await temporaryDirectory(), 'log', partitions, {
      timeColumn: 'happened',
    })
    const { runner } = sampleRunner([log], { isolation })
    const plain = await plainTables({ log: rows })
    // What DuckDB makes of a query is the same in both; here it is how the columns come to it.
    const runs = isolation === 'thread' ? 100 : 30
    for (let run = 0; run < runs; run++) {
      const query = family.query({ table: 'log', other: 'log', withTiers: true })
      const sql = comparable(query)
      const ours = await (await runner.query(sql)).toJson()
      const expected = await plain(sql)
      expect(JSON.stringify(ours.rows[0]?.[0] ?? null), query).toBe(JSON.stringify(expected))
    }
    expect(log.releases).toBe(log.pins)
  },
)

test.each(ISOLATIONS)(
  '%s: values of every type pass through DuckDB unchanged',
  async (isolation) => {
    const directory = await temporaryDirectory()
    const logs = await Promise.all(
      fc.sample(arbitraryBatch(60), { numRuns: 60, seed: 7 }).map(async ({ batch }, index) => {
        const tier = present((['memory', 'disk', 'object'] as const)[index % 3], 'a tier')
        const log = await sampleLog(directory, `log${index}`, [[{ tier, batches: [batch] }]], {
          schemas: [...Array.from({ length: 3 }, () => batch.schema), batch.schema],
        })
        return { log, batch }
      }),
    )
    const { runner } = sampleRunner(
      logs.map(({ log }) => log),
      { isolation },
    )
    for (const { log, batch } of logs) {
      const fields = batch.schema.fields.filter((field) => field.name !== '_time')
      const result = await runner.query(
        `SELECT ${fields.map((field) => field.name).join(', ')} FROM ${log.name} ORDER BY _offset`,
      )
      const found: unknown[][] = []
      for await (const part of result.batches()) {
        const readers = part.columns.map((column) => columnReader(column))
        for (let row = 0; row < part.length; row++) found.push(readers.map((read) => read(row)))
      }
      const readers = fields.map((field) =>
        columnReader(present(batch.columns[batch.schema.fields.indexOf(field)], 'a column')),
      )
      const types = fields.map((field) => field.type)
      const expected = Array.from({ length: batch.length }, (_, row) =>
        readers.map((read, index) => {
          const value = read(row)
          // JSON columns are text in SQL.
          return types[index] === 'json' && value !== null ? JSON.stringify(value) : value
        }),
      )
      const plainTexts = found.map((row) =>
        row.map((value, index) =>
          types[index] === 'json' && typeof value === 'string'
            ? JSON.stringify(JSON.parse(value))
            : value,
        ),
      )
      expect(plainTexts, types.join()).toEqual(expected)
    }
  },
)
