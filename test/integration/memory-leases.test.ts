/** Every way to leave a reader gives its leases back: once all records expired, nothing is in use any more. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Log, Stratalog, VirtualClock } from '../../src/index.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const TTL_MS = 3_600_000
const PARTITIONS = 2

type Form = 'batches' | 'rows' | 'lazyRows'

interface Reader {
  readonly how:
    | 'to the end'
    | 'break'
    | 'throw'
    | 'abort'
    | 'return'
    | 'return while it waits'
    | 'overlapping'
    | 'gap that throws'
    | 'gap that ends the reader'
    | 'view that is kept'
    | 'query'
    | 'dump'
    | 'tail'
  readonly form: Form
  readonly partition: number
  readonly after: number
}

interface Appending {
  readonly kind: 'append'
  readonly count: number
  readonly bytes: number
  readonly bad: boolean
}

type Step = Appending | { readonly kind: 'read'; readonly reader: Reader }

const reader: fc.Arbitrary<Reader> = fc.record({
  how: fc.constantFrom<Reader['how']>(
    ...([
      'to the end',
      'break',
      'throw',
      'abort',
      'return',
      'return while it waits',
      'overlapping',
      'gap that throws',
      'gap that ends the reader',
      'view that is kept',
      'query',
      'dump',
      'tail',
    ] as const),
  ),
  form: fc.constantFrom<Form>('batches', 'rows', 'lazyRows'),
  partition: fc.nat(PARTITIONS - 1),
  after: fc.nat(5),
})
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('read' as const), reader }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      count: fc.integer({ min: 1, max: 60 }),
      bytes: fc.nat(3_000),
      bad: fc.boolean(),
    }),
  },
)

const EXPECTED = ['memory_full', 'schema_mismatch', 'aborted']

class Left extends Error {}

function open(
  log: Log,
  { form, partition }: Reader,
  options: object,
): AsyncIterableIterator<unknown> {
  const stream = log.read({ partition, onGap: 'skip', ...options })
  if (form === 'batches') return stream[Symbol.asyncIterator]() as AsyncIterableIterator<unknown>
  return form === 'rows' ? stream.rows() : stream.lazyRows()
}

/** Reads, and leaves as it is told. What of it goes on by itself is added to `tails`. */
async function use(
  db: Stratalog,
  log: Log,
  given: Reader,
  tails: Promise<unknown>[],
): Promise<void> {
  const { how, after, partition } = given
  let seen = 0
  switch (how) {
    case 'to the end':
    case 'break':
      for await (const _ of open(log, given, {})) if (how === 'break' && seen++ === after) break
      return
    case 'throw':
      for await (const _ of open(log, given, {})) if (seen++ === after) throw new Left()
      return
    case 'abort': {
      const controller = new AbortController()
      for await (const _ of open(log, given, { signal: controller.signal }))
        if (seen++ === after) controller.abort(new Left())
      return
    }
    case 'return': {
      const iterator = open(log, given, {})
      for (let turn = 0; turn < after; turn++) await iterator.next()
      await Promise.all([iterator.return?.(), iterator.return?.(), iterator.next()])
      expect((await iterator.next()).done).toBe(true)
      return
    }
    case 'return while it waits': {
      const iterator = open(log, given, { live: true, from: 1_000_000 })
      const next = iterator.next()
      await iterator.return?.()
      expect((await next).done).toBe(true)
      return
    }
    case 'overlapping': {
      const iterator = open(log, given, {})
      const turns = Array.from({ length: after + 1 }, () => iterator.next())
      const left = iterator.return?.()
      await Promise.all([...turns, left])
      expect((await iterator.next()).done).toBe(true)
      return
    }
    case 'gap that throws': {
      const onGap = (): void => {
        throw new Left()
      }
      for await (const _ of open(log, given, { from: 0, onGap }));
      return
    }
    case 'gap that ends the reader': {
      const ends: unknown[] = []
      const iterator = open(log, given, { from: 0, onGap: () => ends.push(iterator.return?.()) })
      for await (const _ of iterator);
      await Promise.all(ends)
      return
    }
    case 'view that is kept': {
      // A record's getter reads, and the reader outlives the append.
      const iterators: AsyncIterableIterator<unknown>[] = []
      const record = {
        n: -1,
        get text(): string {
          const iterator = open(log, given, {})
          iterators.push(iterator)
          const next = iterator.next()
          next.catch(() => {})
          tails.push(next)
          return 'text'
        },
      }
      await log.append(record, { partition }).catch(() => {})
      for (const iterator of iterators) await iterator.return?.()
      return
    }
    case 'query': {
      const result = await db.query('SELECT n, text FROM subject')
      if (after % 2 === 0) await result.toArray()
      else for await (const _ of result) if (seen++ === after) break
      return
    }
    case 'dump':
      for await (const _ of db.dump()) if (seen++ === after * 20) break
      return
    case 'tail': {
      const controller = new AbortController()
      const follow = async (): Promise<void> => {
        for await (const _ of open(log, given, { live: true, signal: controller.signal }))
          if (seen++ === 40 + after) controller.abort()
      }
      const tail = follow()
      tail.catch(() => {})
      tails.push(tail)
      // Ends with the engine unless it has seen enough.
    }
  }
}

function rowsOf({ count, bytes, bad }: Appending): object[] {
  const rows: object[] = Array.from({ length: count }, (_, n) => ({
    n,
    text: 'x'.repeat(bytes) + (n % 7),
  }))
  return bad ? [...rows, { n: 'no number' }] : rows
}

test('however readers are left, no lease stays', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 4, maxLength: 30, size: 'max' }),
      async (steps) => {
        const clock = new VirtualClock()
        const db = await Stratalog.memoryOnly({ maxMemoryBytes: '512KB' }, { clock })
        const log = await db.createLog('subject', {
          partitions: PARTITIONS,
          storage: { ttl: TTL_MS },
        })
        await log.append([{ n: 0, text: 'first' }])
        const tails: Promise<unknown>[] = []
        const work: Promise<unknown>[] = []
        const refusedFor = (error: unknown): void => {
          const { code = '' } = error as { code?: string }
          if (!(error instanceof Left) && !EXPECTED.includes(code)) throw error
        }
        for (const given of steps) {
          const done =
            given.kind === 'read' ? use(db, log, given.reader, tails) : log.append(rowsOf(given))
          const settled = done.catch(refusedFor)
          settled.catch(() => {})
          work.push(settled)
          await new Promise((resolve) => setImmediate(resolve))
        }
        let isDone = false
        const done = Promise.all(work).finally(() => (isDone = true))
        done.catch(() => {})
        while (!isDone) {
          await new Promise((resolve) => setImmediate(resolve))
          if (db.memoryMetrics().waitingAppends > 0) clock.advance(5)
        }
        await done
        // Tails that wait hold nothing.
        clock.advance(TTL_MS + 2_000)
        const { usedBytes, recordCount, waitingAppends } = db.memoryMetrics()
        expect({ usedBytes, recordCount, waitingAppends }).toEqual({
          usedBytes: 0,
          recordCount: 0,
          waitingAppends: 0,
        })
        await db.close()
        await Promise.allSettled(tails)
      },
    ),
    { numRuns: 25, endOnFailure: true },
  )
})

test('a reader of segments that is left while it fetches ends, and fails nobody', async () => {
  const dataDir = await temporaryDirectory()
  await using db = await Stratalog.open({ dataDir, logLevel: 'silent' })
  const log = await db.createLog('subject', { storage: { memoryTtl: 0 } })
  await log.append(Array.from({ length: 1_000 }, (_, n) => ({ n, text: `text ${n}` })))
  await db.tier.now({ to: 'disk' })
  await db.tier.run()
  expect(db.memoryMetrics().recordCount).toBe(0)
  for (const reader of [log.read()[Symbol.asyncIterator](), log.read().rows()]) {
    const next = reader.next()
    await reader.return?.()
    expect((await next).done).toBe(true)
  }
})

test('rows that are asked for together with the end are those of the log, or none', async () => {
  await using db = await Stratalog.memoryOnly()
  const log = await db.createLog('subject')
  await log.append([{ n: 0 }, { n: 1 }])
  const rows = log.read().rows()
  const asked = [rows.next(), rows.next(), rows.next()]
  // The lease ends with this call, so nothing is read for those that wait.
  await rows.return?.()
  expect((await Promise.all(asked)).map(({ done }) => done)).toEqual([true, true, true])
  expect((await rows.next()).done).toBe(true)
})
