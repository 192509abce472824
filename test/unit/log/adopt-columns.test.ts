import { describe, expect, test } from 'vitest'
import type { ColumnData } from '../../../src/format/column.ts'
import type { ColumnInput } from '../../../src/log/row-appender.ts'
import type { LiveLog } from '../../../src/log/live-log.ts'
import { Surroundings, appendRows, liveLog, visibleRows } from '../../support/live-logs.ts'
import { sampleColumn } from '../../support/sample-batches.ts'

const ROWS = 20_000

/** Columns `n` of float64 and `t` of int32, `rows` each, over buffers of their own. */
function given(rows: number, first = 0): ColumnInput {
  const n = Float64Array.from({ length: rows }, (_, row) => first + row + 0.5)
  const t = Int32Array.from({ length: rows }, (_, row) => first + row)
  return {
    fields: [
      { name: 'n', type: 'float64', nullable: true },
      { name: 't', type: 'int32', nullable: true },
    ],
    columns: [columnOver('float64', n), columnOver('int32', t)],
    length: rows,
    adopt: true,
  }
}

function columnOver(type: 'float64' | 'int32', values: Float64Array | Int32Array): ColumnData {
  return {
    type,
    length: values.length,
    nullCount: 0,
    validity: null,
    offsets: null,
    values: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    dictionary: null,
  }
}

function append(log: LiveLog, input: ColumnInput): Promise<unknown> {
  return log.append(log.partition(0), { kind: 'columns', ...input }, 'memory', 1_000)
}

function bufferOf(log: LiveLog, batch: number, column: number): ArrayBufferLike | undefined {
  const view = log.view()
  const source = view.partitions[0]?.sources[batch]
  view.release()
  return source?.tier === 'memory' ? source.batch.columns[column]?.values.buffer : undefined
}

describe('columns that are given away', () => {
  test('are kept as they are, between rows that came before and after', async () => {
    const around = new Surroundings()
    const log = liveLog(around)
    await appendRows(log, [{ n: -1, t: -1 }])
    const input = given(ROWS)
    await append(log, input)
    await appendRows(log, [{ n: -2, t: -2 }])
    expect(bufferOf(log, 1, 0)).toBe(input.columns[0]?.values.buffer)
    const rows = visibleRows(log)
    expect(rows.length).toBe(ROWS + 2)
    expect(rows.map((row) => row['_offset'])).toEqual(rows.map((_, offset) => offset))
    expect(rows.map((row) => row['t'])).toEqual([
      -1,
      ...Array.from({ length: ROWS }, (_, row) => row),
      -2,
    ])
  })

  test('count in the budget until the batch goes', async () => {
    const around = new Surroundings()
    const log = liveLog(around)
    await append(log, given(ROWS))
    // Eight bytes, four bytes and the stamped time.
    expect(around.pool.usedBytes).toBeGreaterThanOrEqual(ROWS * 20)
    log.close()
    expect(around.pool.usedBytes).toBe(0)
  })

  test('are copied when they are few, of another type, or parts of much bigger buffers', async () => {
    const few = given(10)
    const log = liveLog(new Surroundings())
    await append(log, few)
    expect(bufferOf(log, 0, 0)).not.toBe(few.columns[0]?.values.buffer)

    const whole = given(4 * ROWS)
    const part: ColumnInput = {
      ...whole,
      columns: whole.columns.map((column) => ({
        ...column,
        length: ROWS,
        values: column.values.subarray(0, column.values.length / 4),
      })),
      length: ROWS,
    }
    const other = liveLog(new Surroundings())
    await append(other, part)
    expect(bufferOf(other, 0, 0)).not.toBe(whole.columns[0]?.values.buffer)
    expect(visibleRows(other).length).toBe(ROWS)

    const wide = liveLog(new Surroundings())
    await appendRows(wide, [{ n: 1, t: 2 ** 40 }])
    const narrow = given(ROWS)
    await append(wide, narrow)
    expect(bufferOf(wide, 0, 1)).not.toBe(narrow.columns[1]?.values.buffer)
    expect(visibleRows(wide).at(-1)).toMatchObject({ t: ROWS - 1 })
  })
})

test('a list that is adopted counts with all of its items', async () => {
  const around = new Surroundings()
  const items = Array.from({ length: 2_000 }, (_, row) => Array.from({ length: 50 }, () => row))
  const type = 'list<int32>'
  const input: ColumnInput = {
    fields: [{ name: 'items', type, nullable: true }],
    columns: [sampleColumn(type, items, true)],
    length: items.length,
    adopt: true,
  }
  await append(liveLog(around), input)
  expect(around.pool.usedBytes).toBeGreaterThan(2_000 * 50 * 4)
})
