/** What the memory tier does with input that is wrong, odd or hostile, through its front door. */
import {
  Dictionary,
  Int32,
  List,
  Field as ArrowField,
  Table,
  Utf8,
  Vector,
  makeData,
  vectorFromArray,
} from 'apache-arrow'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type AppendOptions,
  type Appendable,
  type ErrorCode,
  type Log,
  Stratalog,
  isStratalogError,
} from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'

const MIB = 1024 * 1024

let db: Stratalog
let logCount = 0

beforeAll(async () => {
  db = await Stratalog.memoryOnly({ maxMemoryBytes: '256MB' })
})
afterAll(() => db.close())

function newLog(schema?: Readonly<Record<string, string>>): Promise<Log> {
  const options = schema === undefined ? {} : { schema }
  return db.createLog(`log-${logCount++}`, options as Parameters<Stratalog['createLog']>[1])
}

/** What JavaScript may pass whatever the types say. */
function append(log: Log, records: unknown, options?: unknown): Promise<unknown> {
  return log.append(records as Appendable, options as AppendOptions | undefined)
}

async function valuesOf(log: Log, column: string): Promise<unknown[]> {
  return (await log.read({ columns: [column] }).toArray()).map((row) => row[column])
}

/** The append is refused with this code, by a message that says so much, and nothing of it is there. */
async function expectRefused(
  records: unknown,
  code: ErrorCode,
  message: RegExp,
  schema?: Readonly<Record<string, string>>,
): Promise<void> {
  const log = await newLog(schema)
  const error = await expectError(append(log, records), code)
  expect(error.message).toMatch(message)
  expect(await log.read().toArray()).toEqual([])
  await log.append({ fine: 1 })
  expect((await log.get(0))?.['fine']).toBe(1)
}

const INTEGERS = ['int8', 'int16', 'int32', 'int64', 'uint8', 'uint16', 'uint32', 'uint64']

describe('numbers', () => {
  test('that are not finite, and minus zero, are kept as they are in columns of floats', async () => {
    const given = [NaN, Infinity, -Infinity, -0, 0, 5e-324]
    for (const type of ['float32', 'float64']) {
      const log = await newLog({ x: type })
      await log.append(given.map((x) => ({ x })))
      for (const x of given) await log.append({ x })
      const kept = type === 'float32' ? given.map((x) => Math.fround(x)) : given
      expect(await valuesOf(log, 'x')).toEqual([...kept, ...kept])
    }
    const inferred = await newLog()
    await inferred.append([{ x: -0 }])
    expect(await valuesOf(inferred, 'x')).toEqual([-0])
  })

  test('that are no whole numbers, minus zero among them, are refused by whole columns that do not widen', async () => {
    for (const type of INTEGERS.filter((name) => name !== 'int32')) {
      const log = await newLog({ x: type })
      await log.append({ x: 1 })
      for (const [x, shown] of [
        [-0, '-0'],
        [NaN, 'NaN'],
        [-Infinity, '-Infinity'],
        [1.5, '1.5'],
      ] as const) {
        for (const rows of [{ x }, [{ x: 2 }, { x }]]) {
          const { message } = await expectError(append(log, rows), 'schema_mismatch')
          if (type !== 'uint32')
            expect(message).toContain(`expected ${type}, got the number ${shown}`)
        }
      }
      expect(await valuesOf(log, 'x'), type).toEqual([1])
    }
  })

  test('widen a column of int32 to floats rather than lose the sign of minus zero', async () => {
    for (const rows of [{ x: -0 }, [{ x: 2 }, { x: -0 }]]) {
      const log = await newLog({ x: 'int32' })
      await log.append({ x: 1 })
      await append(log, rows)
      expect((await valuesOf(log, 'x')).at(-1)).toBe(-0)
    }
  })

  test('beyond 2^53 come back as the bigints that they were, and no others are taken', async () => {
    const given = [2n ** 53n + 1n, -(2n ** 63n), 2n ** 63n - 1n]
    const log = await newLog({ x: 'int64' })
    await log.append(given.map((x) => ({ x })))
    expect(await valuesOf(log, 'x')).toEqual(given)
    for (const x of [2n ** 63n, -(2n ** 63n) - 1n, 2 ** 60]) {
      await expectError(log.append({ x }), 'schema_mismatch')
    }
    const unsigned = await newLog()
    await unsigned.append({ x: 2n ** 64n - 1n })
    expect(await valuesOf(unsigned, 'x')).toEqual([2n ** 64n - 1n])
    await expectRefused({ x: 2n ** 64n }, 'schema_mismatch', /no column type holds the bigint/)
  })
})

describe('text', () => {
  test('may be empty, and not have lone surrogates', async () => {
    const log = await newLog()
    await log.append([{ t: '' }, { t: 'a' }, { t: '' }])
    expect(await valuesOf(log, 't')).toEqual(['', 'a', ''])
    for (const rows of [{ t: 'x\ud800' }, [{ t: 'fine' }, { t: '\udc00x' }]]) {
      await expectRefused(rows, 'record_invalid', /lone surrogate.*toWellFormed/)
    }
    await expectRefused({ 'x\ud800': 1 }, 'schema_invalid', /lone surrogate.*toWellFormed/)
  })

  test('in JSON keeps its lone surrogates, which JSON has escapes for', async () => {
    const log = await newLog()
    await log.append({ j: { t: 'x\ud800' } })
    expect(await valuesOf(log, 'j')).toEqual([{ t: 'x\ud800' }])
  })
})

describe('limits are told by their name and number', () => {
  test('of a value', async () => {
    const size = 64 * MIB
    const limit = /at most 16777216 bytes/
    await expectRefused({ t: 'x'.repeat(size) }, 'record_too_large', limit)
    await expectRefused([{ t: 'x' }, { t: 'x'.repeat(size) }], 'record_too_large', limit)
    await expectRefused({ b: new Uint8Array(size) }, 'record_too_large', limit)
    await expectRefused({ j: { t: 'x'.repeat(size) } }, 'record_too_large', limit)
  })

  test('of an append', async () => {
    const big = Array.from({ length: 5 }, () => ({ t: 'x'.repeat(15 * MIB) }))
    await expectRefused(big, 'append_too_large', /at most 67108864 bytes.*Split it/)
    const many = Array.from({ length: 1_000_001 }, () => ({ n: 1 }))
    await expectRefused(many, 'append_too_large', /at most 1000000 records.*Split it/)
  })

  test('of columns', async () => {
    const wide = Object.fromEntries(Array.from({ length: 10_000 }, (_, n) => [`c${n}`, n]))
    await expectRefused(wide, 'schema_invalid', /at most 1024 columns.*10000/)
  })

  test('of a budget that the append never fits, and nothing is evicted for it', async () => {
    await using small = await Stratalog.memoryOnly({ maxMemoryBytes: '4MB' })
    const log = await small.createLog('log')
    const own = await small.createLog('own', { storage: { maxMemoryBytes: '1MB' } })
    await log.append({ t: 'kept' })
    await own.append({ t: 'kept' })
    const engine = await expectError(log.append({ t: 'x'.repeat(5 * MIB) }), 'append_too_large')
    expect(engine.message).toMatch(/4194304 bytes that maxMemoryBytes allows/)
    const ofLog = await expectError(own.append({ t: 'x'.repeat(2 * MIB) }), 'append_too_large')
    expect(ofLog.message).toMatch(/1048576 bytes that storage.maxMemoryBytes allows/)
    expect(small.memoryMetrics()).toMatchObject({ recordCount: 2, evictionCount: 0 })
  })

  test('of the budget of a log that refuses, and not of the engine', async () => {
    const storage = { evictionPolicy: 'reject', maxMemoryBytes: '1MB' } as const
    const log = await db.createLog('refusing', { storage })
    const rows = Array.from({ length: 100 }, (_, n) => ({ n, t: `${n}`.padEnd(1_000) }))
    const filling = async (): Promise<never> => {
      for (;;) await log.append(rows)
    }
    const error = await expectError(filling(), 'memory_full')
    expect(error.message).toMatch(/of 1048576 bytes.*storage\.maxMemoryBytes/)
    expect(error.details['retryAfterMs']).toBeGreaterThan(0)
  })
})

describe('names that every object has', () => {
  test('are refused where they would reach a prototype', async () => {
    for (const name of ['__proto__', 'constructor', 'prototype', '']) {
      for (const value of [1, null, undefined]) {
        const row: unknown = Object.defineProperty({ b: 1 }, name, { value, enumerable: true })
        await expectRefused([{ b: 2 }, row], 'schema_invalid', /is reserved/)
      }
    }
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
  })

  test('are columns like any other where they do not, and absent means null', async () => {
    for (const name of ['toString', 'hasOwnProperty', 'valueOf', '__defineGetter__']) {
      const log = await newLog()
      await log.append([{ [name]: 'own', b: 1 }, { b: 2 }])
      await log.append({ b: 3 })
      expect(await valuesOf(log, name)).toEqual(['own', null, null])
      expect(log.getHot(1, name)).toBeNull()
      for await (const batch of log.read()) {
        expect([...batch.lazyRows()].length).toBe(batch.length)
      }
    }
  })

  test('go through JSON as they are', async () => {
    const log = await newLog()
    const value: unknown = JSON.parse('{"__proto__":{"x":1},"constructor":2}')
    await log.append({ j: value })
    expect(JSON.stringify(await valuesOf(log, 'j'))).toBe('[{"__proto__":{"x":1},"constructor":2}]')
  })
})

describe('objects that are not plain', () => {
  test('have their own enumerable properties taken, whatever they are', async () => {
    class Reading {
      a = 1
      readonly #hidden = 2
      get b(): number {
        return this.#hidden
      }
    }
    const own = Object.create({ inherited: 1 }, { a: { value: 6, enumerable: true } }) as object
    const hidden = Object.defineProperty({ a: 7, [Symbol('key')]: 1 }, 'hidden', { value: 1 })
    const virtual: object = new Proxy(
      {},
      {
        get: (_, key) => (key === 'a' ? 8 : undefined),
        ownKeys: () => ['a'],
        getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true, value: 8 }),
      },
    )
    const rows = [
      new Reading(),
      Object.freeze({ a: 2 }),
      new Proxy({ a: 3 }, {}),
      Object.assign(Object.create(null) as object, { a: 4 }),
      { a: 5, gone: undefined },
      own,
      hidden,
      virtual,
    ]
    const together = await newLog()
    await together.append(Object.freeze(rows))
    const apart = await newLog()
    for (const row of rows) await apart.append(row)
    for (const log of [together, apart]) {
      expect(log.describe().schema.map(({ name }) => name)).toEqual(['a'])
      expect(await valuesOf(log, 'a')).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
    }
  })

  test('that would be empty records are refused', async () => {
    for (const value of [
      Promise.resolve({ a: 1 }),
      new Map([['a', 1]]),
      new Set([1]),
      new Date(),
    ]) {
      const message = new RegExp(`is a ${value.constructor.name}`)
      await expectRefused(value, 'record_invalid', message)
      await expectRefused([{ a: 1 }, value], 'record_invalid', message)
    }
    const sparse: unknown[] = [{ a: 1 }]
    sparse[2] = { a: 2 }
    for (const value of [null, undefined, 'text', 5, () => 1, [[1]], sparse]) {
      await expectRefused(value, 'record_invalid', /is not an object/)
    }
  })

  test('as values are refused where JSON cannot hold them', async () => {
    const circle: Record<string, unknown> = {}
    circle['self'] = circle
    let deep: unknown = 1
    for (let level = 0; level < 100_000; level++) deep = [deep]
    for (const value of [circle, { n: 1n }, new Map(), /x/, { deep }]) {
      await expectRefused({ j: value }, 'schema_mismatch', /JSON cannot hold/)
    }
    for (const value of [Symbol('s'), () => 1]) {
      await expectRefused({ j: value }, 'schema_mismatch', /no column type holds/)
    }
  })

  test('may have columns of the names that columns in bulk have', async () => {
    const log = await newLog()
    await append(log, { fields: [1], columns: ['a'], length: 3 })
    expect(await log.get(0)).toMatchObject({ fields: [1], columns: ['a'], length: 3 })
  })
})

describe('code of the caller that runs in the middle of an append', () => {
  const throwing = {
    get n(): number {
      throw new RangeError('mine')
    },
  }

  test('may throw, its own error comes through, and nothing is applied', async () => {
    const log = await newLog()
    await log.append({ n: 1 })
    const used = (): number => db.memoryMetrics().perLog[log.name]?.usedBytes ?? 0
    const before = used()
    const rows = Array.from({ length: 3_000 }, (_, n) => ({ n }))
    for (const records of [throwing, [...rows, throwing], [{ n: 2, more: 'x' }, throwing]]) {
      await expect(log.append(records)).rejects.toThrow('mine')
    }
    const revoked = Proxy.revocable({ n: 1 }, {})
    revoked.revoke()
    await expect(log.append([{ n: 2 }, revoked.proxy])).rejects.toThrow('revoked')
    expect(used()).toBeLessThanOrEqual(before + 64 * 1024)
    expect(await log.append({ n: 3 })).toMatchObject({ offset: 1 })
    expect(await valuesOf(log, 'n')).toEqual([1, 3])
    expect(log.describe().schema).toHaveLength(1)
  })

  test('cannot append to the same log, and may to another', async () => {
    const log = await newLog()
    const other = await newLog()
    const nested: Promise<unknown>[] = []
    const row = {
      get n(): number {
        nested.push(log.append({ n: 7 }), other.append({ n: 8 }))
        return 2
      },
    }
    for (const rows of [row, [{ n: 1 }, row, { n: 3 }]]) {
      const outer = await log.append(rows).catch((error: unknown) => error)
      const [first, ...rest] = await Promise.allSettled(nested.splice(0))
      // Whichever of the two is refused, neither is there in part.
      const refused = isStratalogError(outer) ? outer : first?.status === 'rejected' && first.reason
      expect(refused).toMatchObject({ code: 'record_invalid' })
      expect(rest.some(({ status }) => status === 'fulfilled')).toBe(true)
    }
    const kept = await valuesOf(log, 'n')
    expect(kept).not.toContain(7)
    expect(await valuesOf(other, 'n')).toContain(8)
  })

  test('may give another value at each look, and is refused then', async () => {
    const log = await newLog()
    let looks = 0
    const row = {
      get n(): unknown {
        return looks++ === 0 ? 5 : 'text'
      },
    }
    const { code } = await expectError(append(log, [row, { n: 1 }]), 'schema_mismatch')
    expect(code).toBe('schema_mismatch')
    expect(await log.read().toArray()).toEqual([])
  })
})

describe('Arrow data', () => {
  const table = (type: unknown, parts: object): Table =>
    // The types of apache-arrow allow no data that is wrong.
    new Table({ c: new Vector([makeData({ type, ...parts } as never)]) })
  const text = (offsets: number[], data: string | Uint8Array, length: number): Table =>
    table(new Utf8(), { length, valueOffsets: Int32Array.from(offsets), data: Buffer.from(data) })
  const words = vectorFromArray(['a', 'b'], new Utf8())
  const codes = (...values: number[]): Table =>
    table(new Dictionary(new Utf8(), new Int32()), {
      length: values.length,
      data: Int32Array.from(values),
      dictionary: words,
    })
  const list = new List(new ArrowField('item', new Int32(), true))
  const items = makeData({ type: new Int32(), length: 2, data: new Int32Array(2) })

  test('that is wrong is refused by what is wrong, copied or adopted', async () => {
    const wrong: readonly [() => Table, RegExp][] = [
      [() => text([0, 3, 1], 'abcde', 2), /do not ascend/],
      [() => text([0, 3, 100], 'abcde', 2), /end before its offsets/],
      [() => text([-1, 3, 4], 'abcde', 2), /negative/],
      [() => text([0, 3, 4], 'abcde', 5), /a buffer has 12 bytes, not 24/],
      [() => text([0, 2], Uint8Array.of(0xff, 0xfe), 1), /not UTF-8/],
      [() => text([0, 1, 2], 'é', 2), /not UTF-8/],
      [() => table(new Int32(), { length: 5, data: new Int32Array(2) }), /has 8 bytes, not 20/],
      [
        () =>
          table(new Int32(), {
            length: 100,
            nullCount: 3,
            data: new Int32Array(100),
            nullBitmap: new Uint8Array(1),
          }),
        /has 1 bytes, not 13/,
      ],
      [() => codes(0, 5), /code is not in its dictionary/],
      [() => codes(0, -1), /code is not in its dictionary/],
      [
        () => table(list, { length: 2, valueOffsets: Int32Array.of(0, 2, 9), child: items }),
        /items end before its offsets/,
      ],
    ]
    for (const [made, message] of wrong) {
      for (const adopt of [false, true]) {
        const log = await newLog()
        const error = await expectError(log.append(made(), { adopt }), 'input_invalid')
        expect(error.message).toMatch(message)
        expect(error.details).toMatchObject({ column: 'c' })
        expect(log.describe().schema).toEqual([])
        expect(await log.read().toArray()).toEqual([])
      }
    }
  })

  test('of another schema is refused with both types, and of none as no record', async () => {
    const log = await newLog({ c: 'utf8' })
    await log.append({ c: 'kept' })
    const numbers = new Table({ c: vectorFromArray([1], new Int32()) })
    const error = await expectError(log.append(numbers), 'schema_mismatch')
    expect(error.details).toMatchObject({ column: 'c', expected: 'utf8', given: 'int32' })
    expect(await valuesOf(log, 'c')).toEqual(['kept'])
    await expectError(log.append(new Table()), 'argument_invalid')
  })

  test('in columns that do not fit what is said of them is refused', async () => {
    const fields = [{ name: 'a', type: 'int32', nullable: true }]
    const good = { type: 'int32', length: 2, nullCount: 0, validity: null, offsets: null }
    const column = { ...good, values: new Uint8Array(8), dictionary: null }
    for (const wrong of [
      { ...column, values: new Uint8Array(7) },
      { ...column, values: Int32Array.of(1, 2) },
      { ...column, length: 3 },
      { ...column, type: 'int64' },
      [1, 2],
      {},
      null,
      undefined,
    ]) {
      const log = await newLog()
      const input = { fields, columns: [wrong], length: 2 }
      await expectError(append(log, input), 'input_invalid')
      expect(await log.read().toArray()).toEqual([])
    }
  })
})
