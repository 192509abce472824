/** The state as JSON Lines: nothing of a value is lost, nothing is held, and what went meanwhile is said. */
import { writeFile, readFile } from 'node:fs/promises'
import {
  Binary,
  Field,
  Float32,
  Float64,
  Int64,
  List,
  Struct,
  Table,
  TimestampMillisecond,
  vectorFromArray,
} from 'apache-arrow'
import { describe, expect, test } from 'vitest'
import { Stratalog, VirtualClock } from '../../src/index.ts'
import { jsonLines } from '../support/cli.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

type Line = Readonly<Record<string, unknown>>

async function dumped(lines: AsyncIterable<string>): Promise<readonly Line[]> {
  let text = ''
  for await (const line of lines) {
    expect(line.indexOf('\n')).toBe(line.length - 1)
    text += line
  }
  return jsonLines(text)
}

function records(lines: readonly Line[]): unknown[] {
  return lines.filter(({ type }) => type === 'record').map(({ record }) => record)
}

describe('the lines of a dump', () => {
  test('are a header, a line for each log, then the records of every tier', async () => {
    const root = await temporaryDirectory()
    const clock = new VirtualClock(Date.UTC(2026, 0, 31))
    await using db = await Stratalog.open(
      { dataDir: `${root}/data`, archive: `file://${root}/archive`, logLevel: 'silent' },
      { clock },
    )
    const events = await db.createLog('events', { partitions: 2 })
    await events.append({ n: 0 }, { partition: 0 })
    await db.tier.now({ to: 'object' })
    await events.append({ n: 1 }, { partition: 0 })
    await db.tier.now({ to: 'disk' })
    await events.append([{ n: 2 }, { n: 3 }], { partition: 1 })
    await db.createLog('empty')

    const lines = await dumped(db.dump())
    const time = '2026-01-31T00:00:00.000Z'
    expect(lines.map(({ type }) => type)).toEqual([
      'header',
      'log',
      'log',
      ...Array.from({ length: 4 }, () => 'record'),
    ])
    expect(lines[0]).toEqual({
      type: 'header',
      format: 'stratalog-dump',
      formatVersion: 1,
      version: expect.any(String) as string,
      source: 'engine',
      time,
      logs: 2,
    })
    const { rpoMs: _, ...description } = events.describe()
    expect(lines[1]).toEqual({
      type: 'log',
      ...description,
      partitions: [
        { partition: 0, startOffset: 0, endOffset: 2 },
        { partition: 1, startOffset: 0, endOffset: 2 },
      ],
    })
    expect(lines[2]).toMatchObject({ name: 'empty', schema: [], partitions: [{ endOffset: 0 }] })
    const common = { type: 'record', log: 'events', tier: 'memory', time }
    expect(lines.slice(3)).toEqual([
      { ...common, partition: 0, offset: 0, record: { n: 0 } },
      { ...common, partition: 0, offset: 1, record: { n: 1 } },
      { ...common, partition: 1, offset: 0, record: { n: 2 } },
      { ...common, partition: 1, offset: 1, record: { n: 3 } },
    ])
  })

  test('name the tier that a record came from', async () => {
    const root = await temporaryDirectory()
    const where = { dataDir: `${root}/data`, archive: `file://${root}/archive` }
    const storage = { memoryTtl: 0, diskAfter: 0, archiveAfter: 0, diskTtl: 0 }
    await using db = await Stratalog.open({ ...where, logLevel: 'silent' })
    await (await db.createLog('cold', { storage })).append([{ n: 1 }])
    await db.tier.now({ to: 'object' })
    await db.tier.run()
    await (await db.createLog('hot')).append([{ n: 2 }])
    const tiers = (await dumped(db.dump())).slice(3).map(({ log, tier }) => [log, tier])
    expect(tiers).toEqual([
      ['cold', 'object'],
      ['hot', 'memory'],
    ])
    await using archive = await Stratalog.openArchive(where.archive)
    const fromArchive = await dumped(archive.dump())
    expect(fromArchive[0]).toMatchObject({ source: 'archive' })
    expect(records(fromArchive)).toEqual([{ n: 1 }])
    expect(() => archive.dump({ logs: ['cool'] })).toThrow(/holds no log 'cool'/)
  })

  test('go to a file as they are, and hold the logs that were named, once', async () => {
    await using db = await Stratalog.memoryOnly()
    for (const name of ['a', 'b', 'c']) await db.produce(name, { name })
    const path = `${await temporaryDirectory()}/state.ndjson`
    await writeFile(path, db.dump({ logs: ['c', 'a', 'c'] }))
    const lines = jsonLines(await readFile(path, 'utf8'))
    expect(records(lines)).toEqual([{ name: 'c' }, { name: 'a' }])
    expect(() => db.dump({ logs: ['no'] })).toThrow(/There is no log 'no'/)
    expect(() => db.dump({ log: 'a' } as object)).toThrow(
      /no option "log" of dump.*Did you mean logs/,
    )
  })
})

describe('the values of a dump', () => {
  test('come back whole with the types of the columns', async () => {
    await using db = await Stratalog.memoryOnly()
    const log = await db.createLog('types', {
      schema: {
        flag: 'bool',
        wide: 'int64',
        unsigned: 'uint64',
        half: 'float32',
        real: 'float64',
        text: 'utf8',
        bytes: 'binary',
        at: 'timestamp[ms]',
        day: 'date',
        money: 'decimal(38,2)',
        any: 'json',
      },
    })
    const nothing = Object.fromEntries(log.describe().schema.map(({ name }) => [name, null]))
    await log.append([
      {
        flag: true,
        wide: -(2n ** 63n),
        unsigned: 2n ** 64n - 1n,
        half: -0,
        real: Number.NaN,
        text: 'line one\nline two\u2028"quoted"',
        bytes: new Uint8Array([0, 255]),
        at: new Date('+012345-06-07T08:09:10.011Z'),
        day: new Date('2026-01-31'),
        money: '-123456789012345678901234567890.12',
        any: { a: [1, null, { b: 'c' }] },
      },
      { real: Number.NEGATIVE_INFINITY, wide: 2 ** 53 - 1, half: Number.POSITIVE_INFINITY },
    ])
    let text = ''
    for await (const line of db.dump()) text += line
    expect(text).toContain('"half":-0,')
    const [first, second] = records(jsonLines(text)) as Line[]
    expect(Object.is(first?.['half'], -0)).toBe(true)
    expect({ ...first, half: 0 }).toEqual({
      flag: true,
      wide: '-9223372036854775808',
      unsigned: '18446744073709551615',
      half: 0,
      real: 'NaN',
      text: 'line one\nline two\u2028"quoted"',
      bytes: 'AP8=',
      at: '+012345-06-07T08:09:10.011Z',
      day: '2026-01-31',
      money: '-123456789012345678901234567890.12',
      any: { a: [1, null, { b: 'c' }] },
    })
    expect(second).toEqual({
      ...nothing,
      real: '-Infinity',
      wide: 9007199254740991,
      half: 'Infinity',
    })
  })

  test('keep every digit of JSON texts and of times, and stay on one line', async () => {
    await using db = await Stratalog.memoryOnly()
    const log = await db.createLog('digits', { schema: { any: 'json', at: 'timestamp[ns]' } })
    const text = Buffer.from('{\r\n  "big": 12345678901234567890\n}')
    const any = {
      type: 'json',
      length: 1,
      nullCount: 0,
      validity: null,
      offsets: Int32Array.of(0, text.length),
      values: new Uint8Array(text),
      dictionary: null,
    } as const
    const fields = [{ name: 'any', type: 'json', nullable: true } as const]
    await log.append({ fields, columns: [any], length: 1 })
    await log.append({ at: 1n })
    let lines = ''
    for await (const line of db.dump()) lines += line
    expect(lines.trim().split('\n')).toHaveLength(4)
    expect(lines).toContain('"any":{    "big": 12345678901234567890 },"at":null}')
    expect(lines).toContain('"record":{"any":null,"at":"1970-01-01T00:00:00.000000001Z"}')
  })

  test('inside lists and structs are as those of columns', async () => {
    await using db = await Stratalog.memoryOnly()
    const wide = vectorFromArray(
      [[2n ** 60n, 1n, null], []],
      new List(new Field('item', new Int64(), true)),
    )
    const facts = vectorFromArray(
      [
        { half: -0, at: new Date(0), bytes: new Uint8Array([255]), real: Number.NaN },
        { half: 1.5, at: null, bytes: null, real: 2 },
      ],
      new Struct([
        new Field('half', new Float32(), true),
        new Field('at', new TimestampMillisecond(), true),
        new Field('bytes', new Binary(), true),
        new Field('real', new Float64(), true),
      ]),
    )
    await db.produce('nested', new Table({ wide, facts }))
    let text = ''
    for await (const line of db.dump()) text += line
    expect(text).toContain('"half":-0')
    expect(records(jsonLines(text))).toEqual([
      {
        wide: ['1152921504606846976', 1, null],
        facts: { half: -0, at: '1970-01-01T00:00:00.000Z', bytes: '/w==', real: 'NaN' },
      },
      { wide: [], facts: { half: 1.5, at: null, bytes: null, real: 2 } },
    ])
  })

  test('of 64-bit columns that came as Arrow are exact', async () => {
    await using db = await Stratalog.memoryOnly()
    const values = [2n ** 62n, -1n, null]
    await db.produce('wide', new Table({ n: vectorFromArray(values, new Int64()) }))
    expect(records(await dumped(db.dump()))).toEqual([
      { n: '4611686018427387904' },
      { n: -1 },
      { n: null },
    ])
  })
})

describe('a dump while the engine goes on', () => {
  test('ends where the logs ended when it was asked for', async () => {
    await using db = await Stratalog.memoryOnly()
    await db.produce('a', { n: 1 })
    await db.produce('b', { n: 1 })
    const lines = db.dump()
    await db.produce('b', { n: 2, more: 'a new column' })
    await db.produce('c', { n: 1 })
    const held = await dumped(lines)
    expect(held.filter(({ type }) => type === 'log').map(({ name }) => name)).toEqual(['a', 'b'])
    expect(records(held)).toEqual([{ n: 1 }, { n: 1 }])
  })

  test('says which offsets were evicted before it came to them', async () => {
    await using db = await Stratalog.memoryOnly({ maxMemoryBytes: '4MB' })
    const filler = 'x'.repeat(1_000)
    const rows = (from: number): object[] =>
      Array.from({ length: 500 }, (_, index) => ({ n: from + index, filler }))
    await db.produce('ring', rows(0))
    const lines = db.dump()
    let next = 500
    while (db.memoryMetrics().evictionCount === 0) {
      await db.produce('ring', rows(next))
      next += 500
    }
    const held = await dumped(lines)
    const gap = held.find(({ type }) => type === 'gap')
    const range = { partition: 0, from: 0, to: 500 }
    expect(gap).toEqual({ type: 'gap', log: 'ring', ...range, cause: 'evicted' })
    expect(records(held)).toEqual([])
  })

  test('leaves out what expired, and says that it did', async () => {
    const clock = new VirtualClock(0)
    await using db = await Stratalog.memoryOnly({}, { clock })
    await db.produceWithTtl('sessions', [{ n: 0 }, { n: 1 }], '1m')
    await db.produceWithTtl('sessions', { n: 2 }, '1h')
    const lines = db.dump()
    clock.advance(60_000)
    const [, , gap, record] = await dumped(lines)
    expect(gap).toEqual({
      type: 'gap',
      log: 'sessions',
      partition: 0,
      from: 0,
      to: 2,
      cause: 'expired',
    })
    expect(record).toMatchObject({ type: 'record', offset: 2, record: { n: 2 } })
  })

  test('holds no lease before it begins and none after it is left', async () => {
    await using db = await Stratalog.memoryOnly({ maxMemoryBytes: '4MB' })
    const rows = Array.from({ length: 1_000 }, (_, n) => ({ n, filler: 'x'.repeat(1_000) }))
    await db.produce('ring', rows)
    void db.dump()
    for await (const line of db.dump()) if (line.includes('"offset":3')) break
    for (let round = 0; round < 20; round++) await db.produce('ring', rows)
    const { usedBytes, maxBytes } = db.memoryMetrics()
    expect(usedBytes).toBeLessThanOrEqual(maxBytes)
  })

  test('ends by its signal', async () => {
    await using db = await Stratalog.memoryOnly()
    await db.produce('a', [{ n: 1 }, { n: 2 }])
    const stop = new AbortController()
    const seen: string[] = []
    const reading = (async () => {
      for await (const line of db.dump({ signal: stop.signal })) {
        seen.push(line)
        stop.abort()
      }
    })()
    await expectError(reading, 'aborted')
    expect(seen).toHaveLength(1)
  })
})

test('a log that is deleted before its turn is a gap, and the others are whole', async () => {
  await using db = await Stratalog.memoryOnly()
  for (const name of ['first', 'going', 'last']) await (await db.createLog(name)).append({ name })
  const lines = db.dump()[Symbol.asyncIterator]()
  const header = await lines.next()
  await db.deleteLog('going')
  let text = String(header.value)
  for (let line = await lines.next(); line.done !== true; line = await lines.next())
    text += line.value
  const all = jsonLines(text) as readonly Line[]
  expect(records(all)).toEqual([{ name: 'first' }, { name: 'last' }])
  expect(all.filter(({ type }) => type === 'gap')).toEqual([
    { type: 'gap', log: 'going', partition: 0, from: 0, to: 1, cause: 'retired' },
  ])
})
