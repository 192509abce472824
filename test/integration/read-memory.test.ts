/** What a log in RAM gives, against a plain array: every way to read, while others append and records are evicted. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  Stratalog,
  VirtualClock,
  type Log,
  type OffsetGap,
  type ReadOptions,
} from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'
import { repositoryRoot } from '../support/repository.ts'

const START = Date.parse('2026-01-01T00:00:00Z')
/** Long enough that a few hundred records are many batches. */
const FILLER = 'x'.repeat(20_000)

interface Model {
  readonly n: number
  readonly word: string | null
  readonly added: boolean | null
  readonly time: number
}

const WORDS = ['', 'a', 'Graz', 'Zürich', '日本', '😀', 'a text that is longer than those', null]

/** Appends `count` records, a second apart, of which the later ones have a column more. */
async function append(log: Log, model: Model[], clock: VirtualClock, count: number): Promise<void> {
  const records = Array.from({ length: count }, (_, index) => {
    const n = model.length + index
    const word = WORDS[n % WORDS.length] ?? null
    return n < 40 ? { n, word, filler: FILLER } : { n, word, filler: FILLER, added: n % 3 === 0 }
  })
  for (const record of records) {
    const { n, word } = record
    model.push({ n, word, added: 'added' in record ? record.added : null, time: clock.now() })
  }
  await log.append(records)
  clock.advance(1_000)
}

const readOptions = fc.record(
  {
    from: fc.nat(150),
    length: fc.nat(150),
    since: fc.nat(40),
    until: fc.nat(40),
    limit: fc.nat(150),
    last: fc.nat(150),
    columns: fc.constantFrom(['n'], ['word', '_offset', 'n'], ['_time', 'n'], ['n', 'added']),
    how: fc.constantFrom('rows', 'toRows', 'lazy', 'columns', 'stream', 'streamLazy'),
  },
  { requiredKeys: ['how'] },
)

type Asked = ReturnType<(typeof readOptions)['generate']>['value']

function optionsOf({ from, length, since, until, limit, last, columns }: Asked): ReadOptions {
  const given = {
    from,
    to: length === undefined ? undefined : (from ?? 0) + length,
    since: since === undefined ? undefined : START + since * 1_000,
    until: until === undefined ? undefined : START + until * 1_000,
    limit,
    last,
    columns: columns === undefined ? undefined : [...new Set([...columns, 'n'])],
  }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
}

function expectedOf(model: readonly Model[], options: ReadOptions): readonly Model[] {
  const { from = 0, to = Infinity, since = -Infinity, until = Infinity, last } = options
  const first = last === undefined ? from : Math.max(from, model.length - last)
  return model
    .slice(first, Math.min(to, model.length))
    .filter(({ time }) => time >= Number(since) && time < Number(until))
    .slice(0, options.limit)
}

/** `between` runs between two batches, or two rows. */
async function readAs(
  log: Log,
  options: ReadOptions,
  how: Asked['how'],
  between: () => Promise<void>,
): Promise<Record<string, unknown>[]> {
  const rows: Record<string, unknown>[] = []
  const stream = log.read(options)
  if (how === 'stream') {
    for await (const row of stream.rows()) if (rows.push(row) % 10 === 0) await between()
  } else if (how === 'streamLazy') {
    for await (const row of stream.lazyRows())
      if (rows.push(row.toObject()) % 10 === 0) await between()
  } else {
    for await (const batch of stream) {
      await between()
      if (how === 'rows') rows.push(...batch.rows())
      else if (how === 'toRows') rows.push(...batch.toRows())
      else if (how === 'lazy') for (const row of batch.lazyRows()) rows.push(row.toObject())
      else {
        const columns = batch.fields.map(({ name }) => batch.column(name))
        for (let row = 0; row < batch.length; row++)
          rows.push(Object.fromEntries(columns.map((column) => [column.name, column.get(row)])))
      }
      await between()
    }
  }
  return rows
}

function check(row: Record<string, unknown>, expected: Model | undefined): void {
  const { n, word, added, time } = expected ?? {}
  for (const [name, value] of Object.entries({ n, _offset: n, word, added }))
    if (name in row) expect([name, row[name]]).toEqual([name, value])
  if ('_time' in row) expect(row['_time']).toEqual(new Date(time ?? Number.NaN))
}

describe('reading', () => {
  test('gives what was asked for, and no more than was there, while others append', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 5 }),
        readOptions,
        async (counts, asked) => {
          const clock = new VirtualClock(START)
          await using db = await Stratalog.memoryOnly({}, { clock })
          const log = await db.createLog('subject')
          const model: Model[] = []
          for (const count of counts) await append(log, model, clock, count)
          const options = optionsOf(asked)
          const knowsColumns = model.length > 40 || options.columns?.includes('added') !== true
          fc.pre(knowsColumns)
          const expected = expectedOf(model, options)
          const rows = await readAs(log, options, asked.how, () => append(log, model, clock, 1))
          expect(rows.map((row) => row['n'])).toEqual(expected.map(({ n }) => n))
          rows.forEach((row, index) => check(row, expected[index]))
          if (options.columns !== undefined && rows[0] !== undefined)
            expect(Object.keys(rows[0])).toEqual(options.columns)
        },
      ),
      { numRuns: 25 },
    )
  })

  test('tells of what was evicted before the reader came to it, and gives everything else', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 4 }), async (appends) => {
        const clock = new VirtualClock(START)
        await using db = await Stratalog.memoryOnly({ maxMemoryBytes: '32MB' }, { clock })
        const log = await db.createLog('subject')
        const model: Model[] = []
        for (let round = 0; round < 28; round++) await append(log, model, clock, 50)
        const end = model.length
        const gaps: OffsetGap[] = []
        const seen: number[] = []
        for await (const batch of log.read({ onGap: (gap) => gaps.push(gap) })) {
          for (const row of batch.rows()) {
            check(row, model[row['_offset'] as number])
            seen.push(row['_offset'] as number)
          }
          for (let round = 0; round < appends; round++) await append(log, model, clock, 50)
        }
        const told = gaps.flatMap(({ from, to }) =>
          Array.from({ length: to - from }, (_, index) => from + index),
        )
        const all = [...seen, ...told].toSorted((a, b) => a - b)
        expect(all).toEqual(all.map((_, index) => (all[0] ?? 0) + index))
        expect(all.at(-1)).toBe(end - 1)
        for (const { cause } of gaps) expect(cause).toBe('evicted')
        if (appends >= 3) expect(told.length).toBeGreaterThan(0)
      }),
      { numRuns: 5 },
    )
  })

  test('fails at a gap unless told otherwise, and begins where the log does', async () => {
    await using db = await Stratalog.memoryOnly({ maxMemoryBytes: '4MB' })
    const log = await db.createLog('subject')
    for (let round = 0; round < 40; round++)
      await log.append(Array.from({ length: 10 }, () => ({ filler: FILLER })))
    expect(
      (await expectError(log.read({ from: 0 }).toArray(), 'offset_gap')).details,
    ).toMatchObject({
      from: 0,
      cause: 'evicted',
    })
    const [first] = await log.read({ columns: ['_offset'] }).toArray()
    expect(first?.['_offset']).toBeGreaterThan(0)
    expect(await log.read({ from: 0, onGap: 'skip', limit: 1 }).toArray()).toHaveLength(1)
  })

  test('answers overlapping calls in their order', async () => {
    await using db = await Stratalog.memoryOnly()
    const log = await db.createLog('subject')
    await log.append(Array.from({ length: 200 }, (_, n) => ({ n, filler: FILLER })))
    const batches = log.read()[Symbol.asyncIterator]()
    const turns = await Promise.all(Array.from({ length: 20 }, () => batches.next()))
    const given = turns.flatMap(({ value }) => (value ? [value] : []))
    expect(
      given.reduce(
        (next, { baseOffset, length }) => (baseOffset === next ? next + length : NaN),
        0,
      ),
    ).toBe(200)
    expect(turns.at(-1)?.done).toBe(true)
    const rows = log.read({ columns: ['n'] }).rows()
    const some = await Promise.all(Array.from({ length: 202 }, () => rows.next()))
    expect(some.map(({ value }) => value?.['n'])).toEqual([
      ...Array(200).keys(),
      undefined,
      undefined,
    ])
  })

  test('that is left while a live tail waits ends at once', async () => {
    await using db = await Stratalog.memoryOnly()
    const log = await db.createLog('subject')
    const tail = log.read({ live: true })[Symbol.asyncIterator]()
    const waiting = tail.next()
    await tail.return?.()
    expect(await waiting).toEqual({ done: true, value: undefined })
  })

  test('of an iterator that was dropped half way gives its lease back', () => {
    const child = join(repositoryRoot, 'test/support/dropped-reader-child.ts')
    const { status, stderr } = spawnSync(process.execPath, ['--expose-gc', child], {
      encoding: 'utf8',
    })
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  })
})

describe('a column of a batch', () => {
  test('is the typed array of its type over the memory of the log, not a copy', async () => {
    await using db = await Stratalog.memoryOnly()
    const log = await db.createLog('subject', {
      schema: [
        { name: 'i', type: 'int32', nullable: false },
        { name: 'd', type: 'float64', nullable: true },
        { name: 'b', type: 'int64', nullable: false },
        { name: 't', type: 'utf8', nullable: false },
      ],
    })
    await log.append([
      { i: 1, d: 0.5, b: 7, t: 'x' },
      { i: 2, d: null, b: 8, t: 'y' },
    ])
    for await (const batch of log.read()) {
      const values = batch.column('i').values
      expect(values).toEqual(Int32Array.of(1, 2))
      expect(values?.buffer).toBeInstanceOf(SharedArrayBuffer)
      expect(batch.column('b').values).toEqual(BigInt64Array.of(7n, 8n))
      const d = batch.column('d')
      expect([d.nullCount, d.isValid(0), d.isValid(1), d.get(1)]).toEqual([1, true, false, null])
      expect([batch.column('t').values, batch.column('t').toArray()]).toEqual([null, ['x', 'y']])
      expect(batch.column('_offset').values).toEqual(BigInt64Array.of(0n, 1n))
      expect(() => batch.column('none')).toThrow(
        expect.objectContaining({ code: 'argument_invalid' }),
      )
    }
  })
})

describe('one record', () => {
  test('is got by its offset, whole or in part, and at once where it is hot, while the batch grows', async () => {
    const clock = new VirtualClock(START)
    await using db = await Stratalog.memoryOnly({}, { clock })
    const log = await db.createLog('subject')
    const model: Model[] = []
    for (let round = 0; round < 70; round++) {
      await append(log, model, clock, 1 + (round % 3))
      for (const offset of [0, model.length >> 1, model.length - 1]) {
        const expected = model[offset]
        check((await log.get(offset)) ?? {}, expected)
        check(log.getHot(offset) ?? {}, expected)
        expect(log.getHot(offset, 'word')).toBe(expected?.word)
        expect(log.getHot(offset, '_offset')).toBe(offset)
        const columns = ['word', 'n', '_tier']
        const part = { word: expected?.word, n: expected?.n, _tier: 'memory' }
        expect(await log.get(offset, { columns })).toEqual(part)
      }
    }
    expect(log.getHot(0, 'added')).toBeNull()
    const end = model.length
    for (const offset of [-1, 0.5, NaN, end])
      expect([log.getHot(offset), log.getHot(offset, 'n')]).toEqual([undefined, undefined])
    expect([await log.get(-1), await log.get(end)]).toEqual([null, null])
    await expectError(log.get(0.5), 'argument_invalid')
    expect(() => log.getHot(0, 'none')).toThrow(
      expect.objectContaining({ code: 'argument_invalid' }),
    )
    await expectError(log.get(0, { columns: ['none'] }), 'argument_invalid')
    await expectError(log.get(0, { partition: 1 }), 'partition_not_found')
  })

  test('that failed appends left alone is read from where it lies now', async () => {
    await using db = await Stratalog.memoryOnly()
    const log = await db.createLog('subject')
    await log.append({ n: 1, text: 'first' })
    for (let round = 0; round < 6; round++) {
      expect(log.getHot(0)).toMatchObject({ n: 1, text: 'first' })
      const huge = Array.from({ length: 200 }, () => ({ n: 2, text: FILLER.repeat(1 + round) }))
      const failing = [
        ...huge,
        {
          n: 2,
          get text() {
            throw new Error('no text')
          },
        },
      ]
      await expect(log.append(failing)).rejects.toThrow('no text')
      expect(log.getHot(0)).toMatchObject({ n: 1, text: 'first' })
      await log.append({ n: 3, text: 'other' })
    }
  })

  test('is among the newest though younger ones expired, and the first though older ones did', async () => {
    const clock = new VirtualClock(START)
    await using db = await Stratalog.memoryOnly({}, { clock })
    const log = await db.createLog('subject')
    const ttl = { ttl: '1s' } as const
    await log.append([{ n: 0 }, { n: 1 }], ttl)
    await log.append([{ n: 2 }, { n: 3 }, { n: 4 }])
    await log.append([{ n: 5 }, { n: 6 }], ttl)
    const gaps: OffsetGap[] = []
    const read = async (options: ReadOptions): Promise<unknown[]> => {
      const rows = await log.read({ ...options, onGap: (gap) => gaps.push(gap) }).toArray()
      return rows.map((row) => row['n'])
    }
    expect([await read({ last: 2 }), await read({ last: 0 })]).toEqual([[5, 6], []])
    // Just enough that most of the batch stays, so that nothing is reclaimed yet.
    clock.advance(999)
    expect(await read({})).toEqual([0, 1, 2, 3, 4, 5, 6])
    clock.advance(1)
    expect(gaps.splice(0)).toEqual([])
    expect([await read({ last: 2 }), await read({ last: 9 })]).toEqual([
      [3, 4],
      [2, 3, 4],
    ])
    gaps.length = 0
    expect(await read({})).toEqual([2, 3, 4])
    expect(gaps).toEqual([{ partition: 0, from: 5, to: 7, cause: 'expired' }])
    await log.append({ n: 7 })
    expect(await read({ last: 3 })).toEqual([3, 4, 7])
  })

  test('that expired is not there, before it is reclaimed too', async () => {
    const clock = new VirtualClock(START)
    await using db = await Stratalog.memoryOnly({}, { clock })
    const log = await db.createLog('subject')
    await log.append({ n: 0 })
    await log.append({ n: 1 }, { ttl: '1s' })
    expect([log.getHot(1, 'n'), (await log.get(1))?.['n']]).toEqual([1, 1])
    clock.advance(1_000)
    expect([log.getHot(1), await log.get(1), log.getHot(0, 'n')]).toEqual([undefined, null, 0])
  })
})
