import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ColumnsOfLines } from '../../../src/engine/columns-of-lines.ts'
import { LineParser, type ParserChannel } from '../../../src/engine/line-parser.ts'
import { type FromParser, ParseThread, type ToParser } from '../../../src/engine/parse-thread.ts'
import { Stratalog } from '../../../src/engine/stratalog.ts'
import { spawnParser } from '../../../src/engine/workers/spawn-parser.ts'
import { HEAP_BUFFERS } from '../../../src/format/growing-column.ts'
import type { Field } from '../../../src/format/schema.ts'

const FIELDS: readonly Field[] = [
  { name: 'at', type: 'timestamp[ms]', nullable: true },
  { name: 'count', type: 'int32', nullable: false },
  { name: 'total', type: 'int64', nullable: true },
  { name: 'price', type: 'float64', nullable: true },
  { name: 'event', type: 'utf8', nullable: true },
  { name: 'is', type: 'bool', nullable: true },
  { name: 'tags', type: 'json', nullable: true },
]
const NAMES = FIELDS.map(({ name }) => name)

const RECORD = fc.record(
  {
    at: fc.integer({ min: 0, max: 2 ** 42 }),
    count: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
    total: fc.option(fc.integer({ min: -(2 ** 45), max: 2 ** 45 })),
    price: fc.option(fc.double({ noNaN: true, min: -1e15, max: 1e15 })),
    event: fc.oneof(fc.constantFrom('view', 'click', null), fc.string({ unit: 'grapheme' })),
    is: fc.option(fc.boolean()),
    tags: fc.option(fc.dictionary(fc.string({ unit: 'grapheme' }), fc.integer())),
  },
  { requiredKeys: ['count'] },
)

const linesOf = (records: readonly object[]): Buffer =>
  Buffer.from(records.map((record) => `${JSON.stringify(record)}\n`).join(''))

async function stored(
  append: (log: Awaited<ReturnType<Stratalog['createLog']>>) => unknown,
): Promise<unknown[]> {
  await using db = await Stratalog.memoryOnly()
  const log = await db.createLog('lines', { schema: FIELDS })
  await append(log)
  return await log.read({ columns: NAMES }).toArray()
}

describe('lines as columns', () => {
  test('store what the same records as rows store', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(RECORD, { minLength: 1, maxLength: 40 }), async (records) => {
        const lines = linesOf(records)
        const parsed = new ColumnsOfLines(FIELDS).parse(new Uint8Array(lines), HEAP_BUFFERS)
        expect(parsed?.records.length).toBe(records.length)
        const rows = lines
          .toString()
          .trimEnd()
          .split('\n')
          .map((line) => JSON.parse(line) as object)
        expect(await stored((log) => log.append(parsed?.records ?? {}))).toEqual(
          await stored((log) => log.append(rows)),
        )
      }),
      { numRuns: 60 },
    )
  })

  test('are none where a line needs a closer look', () => {
    const parse = (text: string | Buffer): unknown =>
      new ColumnsOfLines(FIELDS).parse(new Uint8Array(Buffer.from(text)), HEAP_BUFFERS)
    expect(parse('\n \r\n{"count":1}\n\n')).toMatchObject({ records: { length: 1 }, lineCount: 4 })
    for (const text of [
      '',
      '\n\n',
      '{"count":1}\nnot json',
      '{"count":1}\n[1]',
      '{"count":1,"more":2}',
      '{"count":1.5}',
      '{"count":null}',
      '{"count":"1"}',
      '{"count":1,"__proto__":{}}',
      '{"count":1,"event":"\\ud800"}',
      '\uFEFF{"count":1}',
      Buffer.concat([Buffer.from('{"count":1,"event":"'), Buffer.of(0xff), Buffer.from('"}')]),
    ])
      expect(parse(text), String(text)).toBeNull()
  })
})

/** A thread that is none, whose messages are delivered when the test says so. */
class Loop {
  started = 0
  isActive = false
  readonly posted: ToParser[] = []
  readonly spawn = (): ParserChannel => {
    this.started++
    return {
      post: (message) => this.posted.push(structuredClone(message)),
      onMessage: (receive) => {
        this.#receive = receive
      },
      onExit: (exited) => {
        this.exit = exited
      },
      setActive: (isActive) => {
        this.isActive = isActive
      },
      terminate: async () => this.exit(),
    }
  }
  exit: () => void = () => {}
  #receive: (message: FromParser) => void = () => {}
  readonly #thread = new ParseThread((message) => this.#receive(structuredClone(message)))

  deliver(): void {
    for (const message of this.posted.splice(0)) this.#thread.receive(message)
  }
}

const MANY = linesOf(
  Array.from({ length: 2_000 }, (_, count) => ({ count, event: `e${count % 7}` })),
)

describe('the parsing thread', () => {
  test('is told of what is worth it, holds the process while it works, and uses buffers again', async () => {
    const loop = new Loop()
    const parser = new LineParser(loop.spawn)
    expect(parser.parse([linesOf([{ count: 1 }])], FIELDS)).toBeNull()
    expect(parser.parse([MANY], [])).toBeNull()
    expect(loop.started).toBe(0)
    const rows = MANY.toString()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as object)
    const expected = await stored((log) => log.append(rows))
    for (let turn = 0; turn < 3; turn++) {
      const parsed = parser.parse([MANY], FIELDS)
      expect(loop.isActive).toBe(true)
      const sizes = loop.posted[0]?.returned.map(({ byteLength }) => byteLength) ?? []
      if (turn === 0) expect(sizes).toEqual([])
      else expect(Math.max(...sizes)).toBeGreaterThan(2_000)
      loop.deliver()
      expect(loop.isActive).toBe(false)
      const { records, release } = (await parsed) ?? { records: {}, release: () => {} }
      expect(await stored((log) => log.append(records))).toEqual(expected)
      release()
    }
    expect(loop.started).toBe(1)
  })

  test('that ends leaves those who wait without columns, is started again, and not for ever', async () => {
    const loop = new Loop()
    const parser = new LineParser(loop.spawn)
    for (let turn = 1; turn <= 3; turn++) {
      const waiting = [parser.parse([MANY], FIELDS), parser.parse([MANY], FIELDS)]
      expect(loop.started).toBe(turn)
      loop.posted.length = 0
      loop.exit()
      expect(await Promise.all(waiting.map(async (each) => await each))).toEqual([null, null])
    }
    expect(parser.parse([MANY], FIELDS)).toBeNull()
  })

  test('is a thread, and gives up on lines that it cannot make columns of', async () => {
    const parser = new LineParser(spawnParser)
    try {
      const [good, bad] = await Promise.all([
        parser.parse([MANY], FIELDS),
        parser.parse([MANY, Buffer.from('oops')], FIELDS),
      ])
      expect(good?.records.length).toBe(2_000)
      expect(bad).toBeNull()
    } finally {
      await parser.close()
    }
    expect(parser.parse([MANY], FIELDS)).toBeNull()
  })
})
