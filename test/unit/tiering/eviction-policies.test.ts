/** What goes and what stays, against an array of all that was appended: random appends, reads, waits and leases. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { noMetrics } from '../../../src/base/metrics.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import type { EvictionPolicy } from '../../../src/format/manifest.ts'
import type { HotBatch } from '../../../src/log/hot-batch.ts'
import type { LiveLog } from '../../../src/log/live-log.ts'
import type { LogView } from '../../../src/log/log-view.ts'
import { SlabPool } from '../../../src/log/slab-pool.ts'
import { MemoryGovernor } from '../../../src/tiering/governor.ts'
import {
  MEMORY_POLICY,
  Surroundings,
  appendRows,
  batchRows,
  liveLog,
} from '../../support/live-logs.ts'

const PARTITIONS = 2
const BUDGET = 256 * 1024

type Step =
  | {
      readonly kind: 'append'
      readonly partition: number
      readonly count: number
      readonly bytes: number
      readonly priority: number
      readonly ttl: number | null
    }
  | { readonly kind: 'seal'; readonly partition: number }
  | { readonly kind: 'read'; readonly partition: number; readonly share: number }
  | { readonly kind: 'hold'; readonly partition: number }
  | { readonly kind: 'let-go' }
  | { readonly kind: 'wait'; readonly ms: number }

const partition = fc.nat({ max: PARTITIONS - 1 })
const append = fc.record({
  kind: fc.constant('append' as const),
  partition,
  count: fc.integer({ min: 1, max: 12 }),
  bytes: fc.integer({ min: 0, max: 4_000 }),
  priority: fc.integer({ min: -2, max: 2 }),
  ttl: fc.option(fc.integer({ min: 1, max: 5_000 }), { freq: 2 }),
})
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: append },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('seal' as const), partition }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('read' as const),
      partition,
      share: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('hold' as const), partition }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('let-go' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.nat({ max: 1_500 }) }),
  },
)
const steps = fc.array(step, { minLength: 20, maxLength: 120, size: 'max' })

/** A record that was appended and not seen to be gone yet. */
interface Kept {
  readonly partition: number
  readonly offset: number
  readonly priority: number
  readonly expiresAt: number
  readonly text: string
}

class Model {
  readonly clock = new VirtualClock()
  readonly around = new Surroundings()
  readonly governor: MemoryGovernor
  readonly log: LiveLog
  readonly #policy: EvictionPolicy
  #kept: Kept[] = []
  readonly #gone = new Map<string, 'evicted' | 'expired' | 'either'>()
  #held: LogView[] = []
  evicted = 0

  constructor(policy: EvictionPolicy, ownBudget: number | null) {
    this.#policy = policy
    const { around, clock } = this
    around.pool = new SlabPool({ freeBytesMax: 1 << 20, poison: true, maxBytes: BUDGET })
    around.now = () => clock.now()
    around.onExpiring = (expiring) => this.governor.watch(expiring)
    this.governor = new MemoryGovernor({
      pool: around.pool,
      maxBytes: BUDGET,
      watermark: 0.9,
      clock,
      metrics: noMetrics,
      logs: () => [this.log],
      relieve: () => Promise.resolve(),
      shortage: () => null,
    })
    around.room = this.governor
    this.log = liveLog(around, {
      definition: { partitions: PARTITIONS },
      policy: { ...MEMORY_POLICY, evictionPolicy: policy, maxMemoryBytes: ownBudget },
    })
  }

  async run(step: Step): Promise<void> {
    const before = this.batches()
    const startedAt = this.clock.now()
    let appended: readonly Kept[] = []
    if (step.kind === 'append') appended = await this.#append(step)
    else if (step.kind === 'seal') this.log.partition(step.partition).sealOpenBatch()
    else if (step.kind === 'read') this.#read(step.partition, step.share)
    else if (step.kind === 'hold') this.#hold(step.partition)
    else if (step.kind === 'let-go') this.letGo()
    else this.clock.advance(step.ms)
    this.#check(before, startedAt)
    const now = this.clock.now()
    for (const it of appended) {
      if (it.expiresAt > now) this.#kept.push(it)
      else this.#gone.set(idOf(it), 'expired')
    }
    this.#checkReadable()
    expect(this.around.pool.usedBytes).toBeLessThanOrEqual(BUDGET)
    expect(this.log.partition(0).logMemory.usedBytes).toBe(this.around.pool.usedBytes)
    expect(this.log.partition(0).logMemory.usedBytes).toBeLessThanOrEqual(
      this.log.policy.maxMemoryBytes ?? BUDGET,
    )
  }

  letGo(): void {
    for (const view of this.#held.splice(0)) view.release()
  }

  async #append(step: Extract<Step, { kind: 'append' }>): Promise<readonly Kept[]> {
    const { partition, priority, ttl } = step
    const rows = Array.from({ length: step.count }, (_, index) => ({
      text: `${partition}/${priority}/${index}`.padEnd(step.bytes, '-'),
    }))
    const now = this.clock.now()
    const expiresAt = ttl === null ? Infinity : now + ttl
    const run = async (): Promise<readonly Kept[]> => {
      await this.governor.admit(this.log, this.log.partition(partition))
      const { offset } = await appendRows(this.log, rows, partition, now, { expiresAt, priority })
      return rows.map(({ text }, index) => ({
        partition,
        offset: offset + index,
        priority,
        expiresAt,
        text,
      }))
    }
    let isSettled = false
    const result = run().finally(() => {
      isSettled = true
    })
    result.catch(() => {})
    // Only a reader's lease makes an append wait here.
    for (let look = 0; !isSettled && look < 100; look++) {
      if (look > 3) this.letGo()
      await this.clock.yield()
      if (!isSettled) this.clock.advance(5)
    }
    return result
  }

  #read(partition: number, share: number): void {
    const { startOffset, nextOffset } = this.log.partition(partition)
    const offset = Math.floor(startOffset + share * (nextOffset - startOffset))
    this.log.partition(partition).find(offset)
  }

  #hold(partition: number): void {
    this.#held.push(this.log.view(new Map([[partition, { start: 0, end: Infinity }]])))
  }

  batches(): readonly { readonly batch: HotBatch; readonly lastReadAt: number }[] {
    return this.log.partitions.flatMap(({ batches }) =>
      batches.map((batch) => ({ batch, lastReadAt: batch.lastReadAt })),
    )
  }

  /** Compares what went in this step with what was there before it and stayed. */
  #check(before: ReturnType<Model['batches']>, startedAt: number): void {
    const now = this.clock.now()
    const isThere = ({ partition, offset }: Kept): boolean =>
      this.log.partition(partition).batches.some((batch) => batch.rowAt(offset) >= 0)
    const stayed: Kept[] = []
    const went: Kept[] = []
    for (const kept of this.#kept) {
      // What expired while an append waited may have been evicted before.
      const isLate = kept.expiresAt > startedAt
      if (kept.expiresAt <= now) this.#gone.set(idOf(kept), isLate ? 'either' : 'expired')
      else if (isThere(kept)) stayed.push(kept)
      else {
        went.push(kept)
        this.#gone.set(idOf(kept), 'evicted')
      }
    }
    this.#kept = stayed
    this.evicted += went.length
    if (this.#policy === 'lru') this.#checkLru(before)
    else if (this.#policy === 'reject') expect(went).toEqual([])
    else checkOrder(went, stayed, this.#policy)
  }

  #checkLru(before: ReturnType<Model['batches']>): void {
    const now = this.clock.now()
    const there = new Set(this.log.partitions.flatMap(({ batches }) => batches))
    const live = before.filter(({ batch }) => batch.length > 0 && batch.expiresMin > now)
    const went = live.filter(({ batch }) => !there.has(batch)).map((it) => it.lastReadAt)
    const stayed = live.filter(({ batch }) => there.has(batch)).map((it) => it.lastReadAt)
    expect(Math.max(-1, ...went)).toBeLessThanOrEqual(Math.min(Infinity, ...stayed))
  }

  /** Views show what stayed and nothing else, and say of the rest why it is gone. */
  #checkReadable(): void {
    for (const partition of this.log.partitions) {
      if (this.#policy !== 'lru') {
        const { view, release } = partition.view()
        const rows = view.sources.flatMap((source) =>
          source.tier === 'memory' ? batchRows(source.batch) : [],
        )
        release()
        const kept = this.#kept.filter((it) => it.partition === partition.partition)
        expect(rows.map((row) => [row['_offset'], row['text']])).toEqual(
          kept.map(({ offset, text }) => [offset, text]),
        )
      }
      for (const { start, end, cause } of partition.gaps()) {
        const others: number[] = []
        for (let offset = start; offset < end; offset++) {
          const why = this.#gone.get(idOf({ partition: partition.partition, offset }))
          if (why !== cause && why !== 'either') others.push(offset)
        }
        expect(others, cause).toEqual([])
      }
      const gaps = partition.gaps().reduce((sum, { start, end }) => sum + end - start, 0)
      const kept = this.#kept.filter((it) => it.partition === partition.partition).length
      expect(gaps + kept).toBe(partition.nextOffset)
    }
  }
}

function idOf({ partition, offset }: Pick<Kept, 'partition' | 'offset'>): string {
  return `${partition}/${offset}`
}

/** Nobody goes while one stays that was to go first. */
function checkOrder(went: readonly Kept[], stayed: readonly Kept[], policy: EvictionPolicy): void {
  const keyOf = (it: Kept): number =>
    policy === 'priority' ? it.priority : policy === 'ttl' ? it.expiresAt : 0
  const least = Math.min(Infinity, ...stayed.map(keyOf))
  for (const gone of went) {
    expect(keyOf(gone)).toBeLessThanOrEqual(least)
    // Of equals the oldest go first, which in a partition are those of lower offsets.
    const younger = stayed.filter(
      (it) =>
        it.partition === gone.partition && keyOf(it) === keyOf(gone) && it.offset < gone.offset,
    )
    expect(younger).toEqual([])
  }
}

const policies: readonly EvictionPolicy[] = ['fifo', 'lru', 'ttl', 'priority']

describe.each(policies)('under %s', (policy) => {
  test.each([
    ['the budget of the engine', null],
    ['a budget of its own', BUDGET / 2],
  ])('what goes for %s goes in order, and what stays is what is read', async (_, ownBudget) => {
    let evicted = 0
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        const model = new Model(policy, ownBudget)
        for (const one of all) await model.run(one)
        evicted += model.evicted
        model.letGo()
        model.governor.close()
        model.log.close()
        expect(model.around.pool.usedBytes).toBe(0)
      }),
      { numRuns: 30, endOnFailure: true },
    )
    expect(evicted).toBeGreaterThan(0)
  })
})
