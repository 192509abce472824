/** Every offset exactly once, in order, with its own values, whatever moves underneath: against a plain array. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Log, Stratalog } from '../../src/index.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

type Step =
  | {
      readonly kind: 'append'
      readonly partition: number
      readonly count: number
      readonly column: string | null
    }
  | { readonly kind: 'read'; readonly from: number; readonly to: number }
  | { readonly kind: 'tier' | 'disk' | 'object' | 'sql' | 'reopen' | 'pause' }

const fraction = fc.double({ min: 0, max: 1, noNaN: true })

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      partition: fc.nat(1),
      count: fc.integer({ min: 1, max: 300 }),
      column: fc.constantFrom(null, null, 'a', 'b', 'c'),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('read' as const), from: fraction, to: fraction }),
  },
  {
    weight: 6,
    arbitrary: fc.constantFrom('tier', 'tier', 'disk', 'object', 'pause').map((kind) => ({ kind })),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'reopen' as const }) },
)

interface Model {
  readonly n: number
  readonly column: string | null
}

/** Reads a partition and compares each record with what was appended there; returns how many there were. */
async function check(
  log: Log,
  partition: number,
  model: readonly Model[],
  from: number,
  to: number,
): Promise<number> {
  let next = from
  for await (const batch of log.read({ partition, from, to })) {
    expect(batch.baseOffset).toBe(next)
    for (const row of batch.toRows()) {
      const expected = model[next]
      const values = ['a', 'b', 'c'].map((name) =>
        expected?.column === name ? `${name}${expected.n}` : null,
      )
      expect([row['_offset'], row['n']]).toEqual([next, expected?.n])
      expect(['a', 'b', 'c'].map((name) => row[name] ?? null)).toEqual(values)
      next++
    }
    // Everything else has its turn between two batches of one view.
    await new Promise((resolve) => setImmediate(resolve))
  }
  return next - from
}

test('reads during appends, flushes, uploads, evictions and restarts give exactly what was appended', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 5, maxLength: 40 }),
      fc.constantFrom(true, false),
      async (steps, wal) => {
        const root = await temporaryDirectory()
        const options = { dataDir: `${root}/data`, archive: `file://${root}/archive` }
        const open = async (): Promise<Stratalog> => {
          const engine = await Stratalog.open({ ...options, logLevel: 'silent' })
          await engine.tier.pause()
          return engine
        }
        let db = await open()
        const storage = {
          memoryTtl: 0,
          diskAfter: 0,
          archiveAfter: 0,
          diskTtl: 0,
          wal,
          ack: wal ? 'disk' : 'memory',
        } as const
        let log = await db.createLog('subject', { partitions: 2, storage })
        const model: Model[][] = [[], []]
        const acknowledged = [0, 0]
        const work: Promise<unknown>[] = []
        let count = 0
        for (const given of steps) {
          if (given.kind === 'append') {
            const { partition, column } = given
            const rows = Array.from({ length: given.count }, () => ({ n: count++, column }))
            model[partition]?.push(...rows)
            const records = rows.map(({ n }) =>
              column === null ? { n } : { n, [column]: `${column}${n}` },
            )
            const appended = log.append(records, { partition }).then(({ offset }) => {
              acknowledged[partition] = Math.max(acknowledged[partition] ?? 0, offset + rows.length)
            })
            work.push(appended)
          } else if (given.kind === 'read') {
            for (const partition of [0, 1]) {
              const end = acknowledged[partition] ?? 0
              const [from, to] = [given.from, given.to]
                .map((part) => Math.round(part * end))
                .toSorted((a, b) => a - b)
              const expected = (to ?? 0) - (from ?? 0)
              work.push(
                check(log, partition, model[partition] ?? [], from ?? 0, to ?? 0).then((found) =>
                  expect(found).toBe(expected),
                ),
              )
            }
          } else if (given.kind === 'tier') work.push(db.tier.run())
          else if (given.kind === 'disk' || given.kind === 'object')
            work.push(db.tier.now({ to: given.kind }))
          else if (given.kind === 'pause') await new Promise((resolve) => setImmediate(resolve))
          else {
            await Promise.all(work.splice(0))
            await db.close()
            db = await open()
            log = db.log('subject')
          }
        }
        await Promise.all(work)
        for (const partition of [0, 1]) {
          const all = model[partition] ?? []
          expect(await check(log, partition, all, 0, all.length + 10)).toBe(all.length)
        }
        expect(db.status().logs[0]?.partitions.map(({ lastError }) => lastError)).toEqual([
          null,
          null,
        ])
        await db.close()
      },
    ),
    { numRuns: 8, endOnFailure: true },
  )
})

test('a scheduler that runs by itself moves everything away under a reader and a writer', async () => {
  const root = await temporaryDirectory()
  await using db = await Stratalog.open({
    dataDir: `${root}/data`,
    archive: `file://${root}/archive`,
    maxMemoryBytes: '8MB',
  })
  const log = await db.createLog('busy', {
    storage: { memoryTtl: 0, diskAfter: 0, archiveAfter: 0, diskTtl: 0 },
  })
  const model: Model[] = []
  let isOver = false
  const writing = (async () => {
    for (let n = 0; n < 4_000; n += 50) {
      const rows = Array.from({ length: 50 }, (_, index) => ({
        n: n + index,
        pad: 'x'.repeat(400),
      }))
      model.push(...rows.map((row) => ({ n: row.n, column: null })))
      await log.append(rows)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    isOver = true
  })()
  let reads = 0
  while (!isOver) {
    const before = model.length - 50
    expect(await check(log, 0, model, 0, 1e9)).toBeGreaterThanOrEqual(Math.max(0, before))
    reads++
    await new Promise((resolve) => setImmediate(resolve))
  }
  await writing
  expect(reads).toBeGreaterThan(5)
  expect(db.status().logs[0]?.partitions[0]?.tiers.object.records).toBeGreaterThan(0)
})
