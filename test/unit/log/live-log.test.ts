import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { StratalogError } from '../../../src/base/errors.ts'
import { APPEND_BYTES_MAX, APPEND_ROWS_MAX, VALUE_BYTES_MAX } from '../../../src/format/limits.ts'
import type { Row } from '../../../src/format/schema-inference.ts'
import type { ColumnType, Field } from '../../../src/format/schema.ts'
import { MemorySyncFileSystem } from '../../../src/storage/memory-sync-file-system.ts'
import { arbitraryValue } from '../../support/arbitrary-columns.ts'
import { expectError } from '../../support/expect-error.ts'
import {
  Surroundings,
  appendRows,
  liveLog,
  recoverLog,
  visibleRows,
} from '../../support/live-logs.ts'
import { HYBRID_POLICY } from '../../support/manifests.ts'
import { EVERY_TYPE, sampleColumn, withDictionary } from '../../support/sample-batches.ts'
import { closeTestWal } from '../../support/wal.ts'
import type { LiveLog } from '../../../src/log/live-log.ts'
import type { ColumnInput } from '../../../src/log/row-appender.ts'

const field = (name: string, type: ColumnType, nullable = true): Field => ({ name, type, nullable })

type Values = readonly [ColumnType, readonly unknown[]]

function columns(given: Readonly<Record<string, Values>>): ColumnInput {
  const entries = Object.entries(given)
  return {
    fields: entries.map(([name, [type]]) => field(name, type)),
    columns: entries.map(([, [type, values]]) => sampleColumn(type, values)),
    length: entries[0]?.[1][1].length ?? 0,
  }
}

function appendColumns(log: LiveLog, input: ColumnInput): Promise<unknown> {
  return log.append(log.partition(0), { kind: 'columns', ...input }, log.policy.ack, 1_000)
}

function schemaOf(log: LiveLog): Record<string, string> {
  return Object.fromEntries((log.schema?.fields ?? []).map(({ name, type }) => [name, type]))
}

describe('appending rows', () => {
  test('gives consecutive offsets and keeps every value', async () => {
    const log = liveLog(new Surroundings())
    expect(await appendRows(log, [{ a: 1, b: 'x' }, { a: null }])).toEqual({
      partition: 0,
      offset: 0,
      count: 2,
    })
    expect(await appendRows(log, [{ b: 'y' }])).toEqual({ partition: 0, offset: 2, count: 1 })
    expect(visibleRows(log)).toEqual([
      { _offset: 0, a: 1, b: 'x' },
      { _offset: 1, a: null, b: null },
      { _offset: 2, a: null, b: 'y' },
    ])
  })

  test('takes a null of a column that the log does not have, and makes no column of it', async () => {
    const log = liveLog(new Surroundings())
    await appendRows(log, [{ a: 1, unknown: null }])
    await appendRows(log, [{ a: 2, other: undefined }])
    expect(schemaOf(log)).toEqual({ a: 'int32', _time: 'timestamp[ms]' })
    await expectError(appendRows(log, [{ a: 1, _offset: null }]), 'schema_invalid')
  })

  test('takes a record without any column', async () => {
    const log = liveLog(new Surroundings())
    await appendRows(log, [{}, {}])
    await appendRows(log, [{ a: 1 }])
    expect(visibleRows(log)).toEqual([{ _offset: 0 }, { _offset: 1 }, { _offset: 2, a: 1 }])
  })

  test('reads own values only: a column may be named as something that objects inherit', async () => {
    const log = liveLog(new Surroundings())
    await appendRows(log, [{ toString: 'mine', a: 1 }])
    await appendRows(log, [{ a: 2 }])
    expect(visibleRows(log)[1]).toEqual({ _offset: 1, toString: null, a: 2 })
  })

  test('applies nothing of an append in which a getter throws, a value does not fit, or a row is no record', async () => {
    const around = new Surroundings()
    const log = liveLog(around)
    await appendRows(log, [{ a: 1, b: 'x' }])
    const throwing: Row = {
      a: 5,
      get b(): string {
        throw new Error('from the getter')
      },
    }
    const long = { a: 1, b: 'x'.repeat(VALUE_BYTES_MAX + 1) }
    const good = Array.from({ length: 500 }, (_, index) => ({ a: index, b: `row ${index}` }))
    await expect(appendRows(log, [...good, throwing])).rejects.toThrow('from the getter')
    const given: readonly [unknown, string, Record<string, unknown>][] = [
      [{ a: 'text' }, 'schema_mismatch', { row: 500, column: 'a', expected: 'int32' }],
      [{ a: 1, c: 1, b: 5 }, 'schema_mismatch', { row: 500, column: 'b', expected: 'utf8' }],
      [{ b: '\ud800' }, 'record_invalid', { row: 500, column: 'b' }],
      [{ new: 1, b: '\ud800' }, 'record_invalid', { row: 500, column: 'b' }],
      [long, 'record_too_large', { row: 500, column: 'b' }],
      [null, 'record_invalid', { row: 500 }],
      ['text', 'record_invalid', { row: 500 }],
      [{ ['__proto__']: 1 }, 'schema_invalid', {}],
    ]
    for (const [row, code, details] of given) {
      await expect(appendRows(log, [...good, row as Row])).rejects.toMatchObject({ code, details })
    }
    expect(visibleRows(log)).toEqual([{ _offset: 0, a: 1, b: 'x' }])
    expect(schemaOf(log)).toEqual({ a: 'int32', b: 'utf8', _time: 'timestamp[ms]' })
    await appendRows(log, [{ a: 2, b: 'y' }])
    expect(visibleRows(log)).toHaveLength(2)
    log.close()
    expect(around.pool.usedBytes).toBe(0)
  })

  test('names the row when its values change between two looks', async () => {
    const log = liveLog(new Surroundings())
    let looks = 0
    const shifty = {
      get a(): unknown {
        return looks++ === 0 ? 1 : 'text'
      },
    }
    await expectError(appendRows(log, [shifty]), 'schema_mismatch')
    expect(visibleRows(log)).toEqual([])
  })

  test('refuses an append from inside a record of another, and applies the outer one', async () => {
    const log = liveLog(new Surroundings(), { definition: { partitions: 2 } })
    const inner: Promise<unknown>[] = []
    const row = {
      a: 1,
      get b(): number {
        inner.push(appendRows(log, [{ a: 9, c: 9 }], 1).catch((error: unknown) => error))
        return 2
      },
    }
    await appendRows(log, [row, { a: 3 }])
    for (const error of await Promise.all(inner))
      expect(error).toMatchObject({ code: 'record_invalid' })
    expect(visibleRows(log)).toEqual([
      { _offset: 0, a: 1, b: 2 },
      { _offset: 1, a: 3, b: null },
    ])
    expect(visibleRows(log, 1)).toEqual([])
  })

  test('refuses none, too many, and too many bytes, with a WAL and without', async () => {
    const logs = [liveLog(new Surroundings()), recoverLog(new MemorySyncFileSystem()).log]
    const text = 'x'.repeat(VALUE_BYTES_MAX)
    const tooMuch = Array.from({ length: APPEND_BYTES_MAX / VALUE_BYTES_MAX + 1 }, () => ({ text }))
    for (const log of logs) {
      await expectError(appendRows(log, []), 'argument_invalid')
      await expectError(
        appendRows(
          log,
          Array.from({ length: APPEND_ROWS_MAX + 1 }, () => ({})),
        ),
        'append_too_large',
      )
      await expectError(appendRows(log, tooMuch), 'append_too_large')
      expect([log.schema, log.partition(0).nextOffset, log.partition(0).hotBytes]).toEqual([
        null,
        0,
        0,
      ])
    }
  })

  test('stops early when an append grows without end', async () => {
    const around = new Surroundings()
    const log = liveLog(around)
    const text = 'x'.repeat(VALUE_BYTES_MAX)
    let taken = 0
    const row = {
      get text(): string {
        taken++
        return text
      },
    }
    await expectError(
      appendRows(
        log,
        Array.from({ length: 1_000 }, () => row),
      ),
      'append_too_large',
    )
    // One look finds the types, one gathers, and the third takes values one by one, and stops.
    expect(taken).toBeLessThan(2_050)
    expect(around.pool.usedBytes).toBe(0)
  })

  test('stops early when one value stands for many, and keeps nothing of it', async () => {
    const around = new Surroundings()
    const log = liveLog(around)
    const b = new Uint8Array(VALUE_BYTES_MAX)
    await appendRows(log, [{ b: new Uint8Array(1) }])
    const given = Array.from({ length: 300 }, () => ({ b }))
    await expectError(appendRows(log, given), 'append_too_large')
    expect(visibleRows(log)).toHaveLength(1)
    expect(around.pool.usedBytes).toBeLessThan(2 ** 20)
  })

  test('loses no column of an object whose class has getters of others', async () => {
    class Reading {
      readonly extra = 'own'
      get a(): number {
        return 7
      }
    }
    const log = liveLog(new Surroundings())
    await appendRows(log, [{ a: 1 }])
    await appendRows(log, [new Reading() as unknown as Row])
    expect(visibleRows(log)).toEqual([
      { _offset: 0, a: 1 },
      { _offset: 1, a: 7, extra: 'own' },
    ])
  })

  test('stamps the time of the append, and lets nobody else stamp it', async () => {
    const around = new Surroundings()
    const log = liveLog(around)
    await appendRows(log, [{ a: 1 }], 0, 5_000)
    expect(log.partition(0).batches[0]?.time).toEqual({ min: 5_000, max: 5_000 })
    await expectError(appendRows(log, [{ a: 1, _time: 7 }]), 'schema_invalid')
  })
})

describe('the schema', () => {
  test('of a log grows with its rows, by new columns and by widening, and each batch keeps its own', async () => {
    const log = liveLog(new Surroundings())
    await appendRows(log, [{ a: 1 }])
    await appendRows(log, [{ a: 2, b: 'x' }])
    await appendRows(log, [{ a: 0.5 }])
    await appendRows(log, [{ a: 3 }])
    expect(log.schemas.map(({ id, fields }) => [id, ...fields.map(({ type }) => type)])).toEqual([
      [0, 'int32', 'timestamp[ms]'],
      [1, 'int32', 'utf8', 'timestamp[ms]'],
      [2, 'float64', 'utf8', 'timestamp[ms]'],
    ])
    expect(log.partition(0).batches.map((batch) => [batch.schema.id, batch.length])).toEqual([
      [0, 1],
      [1, 1],
      [2, 2],
    ])
    expect(visibleRows(log).map((row) => row['a'])).toEqual([1, 2, 0.5, 3])
  })

  test('that a first append does not come to is not there afterwards', async () => {
    const log = liveLog(new Surroundings())
    await expectError(appendRows(log, [{ a: 1 }, { a: 'x' }]), 'schema_mismatch')
    expect(log.schema).toBeNull()
    await appendRows(log, [{ a: 'x' }])
    expect(schemaOf(log)).toMatchObject({ a: 'utf8' })
  })

  test('wants the columns with a role from the first records on', async () => {
    const log = liveLog(new Surroundings(), { definition: { timeColumn: 'at', keyColumn: 'id' } })
    await expectError(appendRows(log, [{ at: 5 }]), 'schema_mismatch')
    await expectError(appendRows(log, [{ id: 5 }]), 'schema_mismatch')
    await appendRows(log, [{ id: 5, at: '1970-01-01T00:00:07Z' }])
    expect(log.partition(0).batches[0]?.time).toEqual({ min: 7_000, max: 7_000 })
    await expectError(appendRows(log, [{ id: 5 }]), 'schema_mismatch')
    await expectError(appendRows(log, [{ id: 5, at: null }]), 'schema_mismatch')
  })
})

describe('appending columns', () => {
  test('of every type gives back the same values', async () => {
    const given = fc.tuple(
      ...EVERY_TYPE.map((type) => fc.array(arbitraryValue(type), { minLength: 20, maxLength: 20 })),
    )
    await fc.assert(
      fc.asyncProperty(given, async (values) => {
        const log = liveLog(new Surroundings())
        const entries = EVERY_TYPE.map((type, index): [string, Values] => [
          `c${index}`,
          [type, values[index] ?? []],
        ])
        await appendColumns(log, columns(Object.fromEntries(entries)))
        const rows = visibleRows(log)
        EVERY_TYPE.forEach((_, index) =>
          expect(rows.map((row) => row[`c${index}`])).toEqual(values[index]),
        )
      }),
      { numRuns: 20 },
    )
  })

  test('takes words of a dictionary, casts what is narrower, and fills what is missing', async () => {
    const log = liveLog(new Surroundings())
    await appendRows(log, [{ n: 2 ** 40, d: 0.5, extra: true }])
    const texts = ['a', null, 'b', 'a']
    await appendColumns(log, {
      fields: [field('n', 'int32'), field('word', 'utf8')],
      columns: [
        sampleColumn('int32', [1, 2, null, 4]),
        withDictionary(sampleColumn('utf8', texts), texts),
      ],
      length: 4,
    })
    expect(visibleRows(log).slice(1)).toEqual(
      texts.map((word, row) => ({
        _offset: row + 1,
        n: [1, 2, null, 4][row],
        d: null,
        extra: null,
        word,
      })),
    )
  })

  test('refuses types that do not fit and changes nothing', async () => {
    const log = liveLog(new Surroundings())
    await appendRows(log, [{ n: 1 }])
    await expectError(appendColumns(log, columns({ n: ['utf8', ['x']] })), 'schema_mismatch')
    await expectError(appendColumns(log, columns({ _tier: ['utf8', ['x']] })), 'schema_invalid')
    expect(visibleRows(log)).toEqual([{ _offset: 0, n: 1 }])
  })

  test('makes the time column one of times that is always there', async () => {
    const definition = { timeColumn: 'at' }
    const log = liveLog(new Surroundings(), { definition })
    await expectError(appendColumns(log, columns({ at: ['int64', [5]] })), 'schema_mismatch')
    await expectError(
      appendColumns(log, columns({ at: ['timestamp[ms]', [new Date(5), null]] })),
      'schema_mismatch',
    )
    await appendColumns(log, columns({ at: ['timestamp[ms]', [new Date(5)]] }))
    await expectError(appendRows(log, [{ at: null }]), 'schema_mismatch')
    expect(log.partition(0).nextOffset).toBe(1)
  })

  test('refuses words that stand for more bytes than an append takes', async () => {
    const log = liveLog(new Surroundings())
    const word = 'x'.repeat(1 << 20)
    const texts = Array.from({ length: 100 }, () => word)
    const column = {
      ...withDictionary(sampleColumn('utf8', ['']), texts.slice(0, 1)),
      length: 100,
      nullCount: 0,
    }
    const input = {
      fields: [field('t', 'utf8')],
      columns: [{ ...column, values: new Uint8Array(400) }],
      length: 100,
    }
    await expectError(appendColumns(log, input), 'append_too_large')
    expect(log.partition(0).hotBytes).toBe(0)
  })

  test('refuses a length that is no count', async () => {
    const log = liveLog(new Surroundings())
    for (const length of [NaN, -1, 0.5]) {
      await expectError(
        appendColumns(log, { ...columns({ n: ['int8', [1]] }), length }),
        'argument_invalid',
      )
    }
  })
})

describe('a log with a WAL', () => {
  test('acknowledges at its level, and shows nothing below it', async () => {
    const { log, testWal } = recoverLog(new MemorySyncFileSystem())
    const done: string[] = []
    const append = (ack: 'memory' | 'disk'): Promise<unknown> =>
      log
        .append(log.partition(0), { kind: 'rows', rows: [{ n: 1 }] }, ack, 1)
        .then(() => done.push(ack))
    const appends = [append('disk'), append('memory')]
    await appends[1]
    expect(done).toEqual(['memory'])
    expect([log.partition(0).nextOffset, log.partition(0).visibleEnd]).toEqual([2, 0])
    expect(visibleRows(log)).toEqual([])
    testWal.run()
    await Promise.all(appends)
    expect(log.partition(0).visibleEnd).toBe(2)
    expect(visibleRows(log)).toHaveLength(2)
  })

  test('waits for room in the ring without losing the order', async () => {
    const fileSystem = new MemorySyncFileSystem()
    const { log, testWal } = recoverLog(fileSystem, { wal: { ringBytes: 4096 } })
    const appends = Array.from({ length: 200 }, (_, n) =>
      appendRows(log, [{ n, text: 'x'.repeat(200) }]),
    )
    let isOver = false
    const all = Promise.all(appends).finally(() => {
      isOver = true
    })
    while (!isOver) {
      testWal.run()
      await Promise.resolve()
    }
    const results = await all
    const rows = visibleRows(log)
    expect(rows).toHaveLength(200)
    expect(new Set(results.map(({ offset }) => offset)).size).toBe(200)
    results.forEach(({ offset }, n) => expect(rows[offset]?.['n']).toBe(n))
  })

  test('acknowledges nothing after the disk failed, and keeps showing what was durable before', async () => {
    const fileSystem = new MemorySyncFileSystem()
    const { log, testWal } = recoverLog(fileSystem)
    const first = appendRows(log, [{ n: 1 }])
    testWal.run()
    await first
    fileSystem.faults = ({ kind }) => {
      if (kind === 'dataSync') throw new StratalogError('disk_failed', 'planted: the disk is gone')
      return undefined
    }
    const second = expectError(appendRows(log, [{ n: 2 }]), 'disk_failed')
    testWal.run()
    await second
    fileSystem.faults = () => undefined
    await expectError(appendRows(log, [{ n: 3 }]), 'disk_failed')
    testWal.run()
    expect(log.partition(0).visibleEnd).toBe(1)
    expect(visibleRows(log)).toEqual([{ _offset: 0, n: 1 }])
  })

  test('stages nothing when the WAL refuses', async () => {
    const { log, testWal } = recoverLog(new MemorySyncFileSystem())
    const first = appendRows(log, [{ n: 1 }])
    testWal.run()
    await first
    await closeTestWal(testWal)
    await expectError(appendRows(log, [{ n: 2, more: 'x' }]), 'engine_closed')
    expect([log.partition(0).nextOffset, log.schemas.length]).toEqual([1, 1])
    expect(visibleRows(log)).toEqual([{ _offset: 0, n: 1 }])
  })
})

test('appends without a partition take the partitions in turn', () => {
  const log = liveLog(new Surroundings(), {
    definition: { partitions: 3 },
    policy: { ...HYBRID_POLICY, wal: false },
  })
  expect(Array.from({ length: 4 }, () => log.nextPartition().partition)).toEqual([0, 1, 2, 0])
  expect(() => log.partition(3)).toThrow(expect.objectContaining({ code: 'partition_not_found' }))
})
