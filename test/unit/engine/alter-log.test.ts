/**
 * Policies that change while a log is in use. The model is what was appended: what a policy promised of a record when
 * it was acknowledged holds through every change and every crash, and nothing else is there.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../../src/base/random.ts'
import type { StorageChanges } from '../../../src/engine/config.ts'
import type { AckLevel, SegmentEntry } from '../../../src/format/manifest.ts'
import { type Life, Machine, openLife } from '../../support/durable-logs.ts'
import { expectError } from '../../support/expect-error.ts'
import { MEMORY_POLICY } from '../../support/live-logs.ts'
import { logDefinition } from '../../support/manifests.ts'

const RESET = { localDisk: null, ack: null, wal: null } as const
const CHANGES: Readonly<Record<string, StorageChanges>> = {
  memory: { mode: 'memory' },
  persistent: { mode: 'persistent' },
  hybrid: { ...RESET, mode: 'hybrid' },
  'hybrid without a WAL': { ...RESET, mode: 'hybrid', wal: false },
  'hybrid without a disk': { ...RESET, mode: 'hybrid', localDisk: false },
  'hybrid with ack object': { ...RESET, mode: 'hybrid', ack: 'object' },
}
const NAMES = Object.keys(CHANGES)

const inMode = (name: string): StorageChanges => CHANGES[name] ?? {}

async function openIn(name: string, machine = new Machine(seededRandom(1))): Promise<Life> {
  const life = await openLife(machine, definition())
  life.runAlone()
  await life.alter(inMode(name))
  return life
}

function definition() {
  return logDefinition(1, { timeColumn: null, policy: MEMORY_POLICY })
}

function append(life: Life, ns: readonly number[], ack?: AckLevel): Promise<{ offset: number }> {
  const { log } = life
  const level = ack ?? (log.policy.wal ? 'disk' : 'memory')
  const rows = ns.map((n) => ({ n }))
  return log.append(log.partition(0), { kind: 'rows', rows }, level, life.now())
}

const numbers = async (life: Life): Promise<unknown[]> => (await life.rows()).map((row) => row['n'])

describe.each(NAMES)('from %s', (from) => {
  test.each(NAMES)(
    'to %s, and everything is there before and after, and after a crash',
    async (to) => {
      const machine = new Machine(seededRandom(5))
      const life = await openIn(from, machine)
      await append(life, [0, 1])
      await append(life, [2])
      if (life.log.policy.ack === 'object') await life.scheduler.now([life.log], 'object')
      expect(await numbers(life)).toEqual([0, 1, 2])
      await life.alter(inMode(to))
      // What was read is read on, before anything has moved.
      expect(await numbers(life)).toEqual([0, 1, 2])
      await life.scheduler.run()
      await append(life, [3])
      if (life.log.policy.ack === 'object') await life.scheduler.now([life.log], 'object')
      expect(await numbers(life)).toEqual([0, 1, 2, 3])
      machine.crash()
      const again = await openLife(machine, definition())
      again.runAlone()
      await again.scheduler.run()
      expect(again.log.policy).toEqual(life.log.policy)
      // What came before the change is as safe as the safer of the two, and what came after it as the new one.
      const isBeforeSafe = from !== to || life.log.policy.wal
      const expected = [...(isBeforeSafe ? [0, 1, 2] : []), ...(life.log.policy.wal ? [3] : [])]
      expect(await numbers(again)).toEqual(expected)
      await append(again, [4])
      if (again.log.policy.ack === 'object') await again.scheduler.now([again.log], 'object')
      expect(await numbers(again)).toEqual([...expected, 4])
    },
  )
})

describe('a change', () => {
  test('holds appends up, and they go by the new policy', async () => {
    const life = await openIn('memory')
    const changing = life.alter({ mode: 'persistent' })
    const waiting = append(life, [1], 'disk')
    expect(life.log.partition(0).nextOffset).toBe(0)
    await changing
    expect(await waiting).toMatchObject({ offset: 0 })
    expect(life.log.partition(0).firstUnflushedLsn).toBeLessThan(Infinity)
  })

  test('refuses an append that asked for what the log had before', async () => {
    const life = await openIn('persistent')
    const changing = life.alter({ mode: 'memory' })
    const waiting = expectError(append(life, [1], 'disk'), 'argument_invalid')
    await Promise.all([changing, waiting])
    expect(await numbers(life)).toEqual([])
  })

  test('that the disk refuses leaves the log as it was', async () => {
    const machine = new Machine(seededRandom(1))
    const life = await openIn('memory', machine)
    await append(life, [1])
    machine.powerLeft = 0
    await expect(life.alter({ mode: 'persistent' })).rejects.toThrow('the power is cut')
    expect(life.log.policy.mode).toBe('memory')
    await append(life, [2])
    expect(await numbers(life)).toEqual([1, 2])
  })

  test('out of RAM is refused while records have a time to live that is not over', async () => {
    const life = await openIn('memory')
    const terms = { expiresAt: life.now() + 1_000, priority: 0 }
    await life.log.append(
      life.log.partition(0),
      { kind: 'rows', rows: [{ n: 1 }] },
      'memory',
      life.now(),
      terms,
    )
    await append(life, [2])
    await expectError(life.alter({ mode: 'persistent' }), 'argument_invalid')
    expect(life.log.policy.mode).toBe('memory')
    life.advance(1_000)
    await life.alter({ mode: 'persistent' })
    await life.scheduler.run()
    // What expired is on no disk.
    expect(life.log.partition(0).segments.map(({ baseOffset }) => baseOffset)).toEqual([1])
    expect(await numbers(life)).toEqual([2])
  })

  test('flushes around what was evicted, and the holes stay known', async () => {
    const machine = new Machine(seededRandom(1))
    const life = await openIn('memory', machine)
    const partition = life.log.partition(0)
    for (let n = 0; n < 5; n++) {
      await append(life, [n])
      partition.sealOpenBatch()
    }
    for (const index of [3, 1, 0]) {
      const batch = partition.batches[index]
      if (batch !== undefined) partition.evict(batch)
    }
    await life.alter({ mode: 'persistent' })
    await append(life, [5])
    await life.scheduler.run()
    expect(partition.segments.map((s) => [s.baseOffset, s.endOffset])).toEqual([
      [2, 3],
      [4, 6],
    ])
    machine.crash()
    const again = await openLife(machine, definition())
    again.runAlone()
    expect(again.log.partition(0).startOffset).toBe(2)
    expect((await again.rows()).map((row) => [row['_offset'], row['n']])).toEqual([
      [2, 2],
      [4, 4],
      [5, 5],
    ])
    expect(await append(again, [6])).toMatchObject({ offset: 6 })
  })

  test('to persistent brings back to the disk what only the archive has', async () => {
    const machine = new Machine(seededRandom(1))
    const life = await openIn('hybrid without a disk', machine)
    await append(life, [1, 2])
    await life.scheduler.now([life.log], 'object')
    const copies = (): boolean[][] =>
      life.log.partition(0).segments.map(({ disk, object }) => [disk !== null, object !== null])
    expect(copies()).toEqual([[false, true]])
    await life.alter({ mode: 'persistent' })
    expect(await life.scheduler.run()).toMatchObject([{ fromTier: 'object', toTier: 'disk' }])
    expect(copies()).toEqual([[true, true]])
    expect(await life.scheduler.run()).toEqual([])
  })

  test('that was committed and not heard of is flushed to the same segments again', async () => {
    const machine = new Machine(seededRandom(1))
    const life = await openIn('memory', machine)
    const partition = life.log.partition(0)
    for (let n = 0; n < 4; n++) {
      await append(life, [n])
      partition.sealOpenBatch()
    }
    const [, second] = partition.batches
    if (second !== undefined) partition.evict(second)
    await life.alter({ mode: 'persistent' })
    // The first segment is heard of; of the second, behind the hole, neither the commit nor a look at it.
    let puts = 0
    machine.unheard = (name) =>
      name === 'putIfAbsent' ? ++puts >= 2 : name === 'read' && puts >= 2
    expect((await life.scheduler.now([life.log], 'disk')).failed).toHaveLength(1)
    machine.unheard = () => false
    await append(life, [4])
    // The next commit learns what was done, and the one after it goes on from there.
    await life.scheduler.now([life.log], 'disk')
    expect((await life.scheduler.now([life.log], 'disk')).failed).toEqual([])
    const ranges = (segments: Iterable<SegmentEntry>): number[][] =>
      Array.from(segments, ({ baseOffset, endOffset }) => [baseOffset, endOffset])
    const kept = life.manifest.state.logs.get(1)?.partitions[0]?.segments ?? []
    expect(ranges(kept)).toEqual(ranges(partition.segments))
    expect(await numbers(life)).toEqual([0, 2, 3, 4])
  })

  test('begins behind what a snapshot of RAM brought to the archive', async () => {
    const life = await openIn('memory')
    await append(life, [1, 2])
    await life.scheduler.archiveMemory(life.log, life.log.partition(0), 2)
    await append(life, [3])
    await life.alter(inMode('hybrid'))
    await life.scheduler.now([life.log], 'object')
    expect(life.log.partition(0).segments.map((s) => [s.baseOffset, s.endOffset])).toEqual([
      [0, 2],
      [2, 3],
    ])
    expect(await numbers(life)).toEqual([1, 2, 3])
  })
})

describe('while a flush cannot be made', () => {
  /** A log that was changed with two records in it, whose flush fails, and that got a third one. */
  async function changed(from: string, to: string): Promise<{ machine: Machine; life: Life }> {
    const machine = new Machine(seededRandom(2))
    const life = await openIn(from, machine)
    await append(life, [0, 1])
    machine.failing = 'create'
    await life.alter(inMode(to))
    await append(life, [2])
    expect(await life.scheduler.run()).toEqual([])
    machine.crash()
    return { machine, life }
  }

  test('the WAL keeps what a log had there before it went into RAM', async () => {
    for (const to of ['memory', 'hybrid without a WAL']) {
      const { machine, life } = await changed('persistent', to)
      const again = await openLife(machine, definition())
      expect(life.log.partition(0).flushedEnd).toBe(0)
      expect(await numbers(again), to).toEqual([0, 1])
      machine.failing = null
      again.runAlone()
      await again.scheduler.now([again.log], 'disk')
      expect(again.log.partition(0).flushedEnd, to).toBe(2)
    }
  })

  test('what a log in RAM held before its recovery is owed to the disk still', async () => {
    const { machine } = await changed('persistent', 'memory')
    const again = await openLife(machine, definition())
    again.runAlone()
    machine.failing = null
    await again.scheduler.run()
    expect(again.log.partition(0).flushedEnd).toBe(2)
  })

  test('the WAL keeps what came after what only RAM has', async () => {
    const { machine } = await changed('memory', 'persistent')
    const again = await openLife(machine, definition())
    expect((await again.rows()).map((row) => [row['_offset'], row['n']])).toEqual([[2, 2]])
    expect(again.log.partition(0).startOffset).toBe(2)
  })

  test('no offset is given again that was given when the log had no WAL', async () => {
    const machine = new Machine(seededRandom(2))
    const life = await openIn('memory', machine)
    await append(life, [0, 1])
    await life.alter({ mode: 'persistent' })
    machine.crash()
    const again = await openLife(machine, definition())
    again.runAlone()
    expect(await append(again, [2])).toMatchObject({ offset: 2 })
    expect(await numbers(again)).toEqual([2])
  })
})

type Step = {
  readonly kind: 'append' | 'evict' | 'alter' | 'run' | 'flush' | 'crash'
  readonly count: number
  readonly to: string
  readonly power: number
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.oneof(
    { weight: 6, arbitrary: fc.constant('append' as const) },
    { weight: 3, arbitrary: fc.constant('alter' as const) },
    { weight: 2, arbitrary: fc.constantFrom('run' as const, 'evict' as const, 'flush' as const) },
    { weight: 2, arbitrary: fc.constant('crash' as const) },
  ),
  count: fc.integer({ min: 1, max: 4 }),
  to: fc.constantFrom(...NAMES),
  power: fc.nat(60),
})

test('whatever changes and crashes come, promised records stay, in order, and nothing else appears', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 40 }), fc.nat(), runHistory),
    { numRuns: 120 },
  )
})

class Model {
  next = 0
  /** May be there: what was submitted, and not found missing after a crash. */
  possible = new Set<number>()
  /** Have to be there. */
  promised = new Set<number>()
  evicted = new Set<number>()

  check(found: readonly unknown[], isComplete: boolean): void {
    const ns = found as number[]
    expect(ns).toEqual(ns.toSorted((a, b) => a - b))
    expect(new Set(ns).size).toBe(ns.length)
    expect(ns.filter((n) => !this.possible.has(n))).toEqual([])
    const held = new Set(ns)
    const wanted = isComplete ? this.possible : this.promised
    expect([...wanted].filter((n) => !held.has(n) && !this.evicted.has(n))).toEqual([])
  }
}

async function runHistory(steps: readonly Step[], seed: number): Promise<void> {
  const machine = new Machine(seededRandom(seed))
  const model = new Model()
  const open = async (): Promise<Life> => {
    for (;;) {
      try {
        const opened = await openLife(machine, definition())
        opened.runAlone()
        return opened
      } catch (error) {
        if (machine.powerLeft > 0) throw error
        machine.crash()
      }
    }
  }
  /** Offsets whose records some lower tier has, by number. */
  const at = new Map<number, number>()
  let life = await open()
  const noteFlushed = (): void => {
    for (const n of model.possible)
      if ((at.get(n) ?? Infinity) < life.log.partition(0).flushedEnd) model.promised.add(n)
  }
  const reopen = async (power: number): Promise<void> => {
    machine.crash()
    machine.powerLeft = power < 20 ? power : Infinity
    life = await open()
    machine.powerLeft = Infinity
    await life.scheduler.run()
    const rows = await life.rows()
    model.check(
      rows.map((row) => row['n']),
      false,
    )
    model.possible = new Set(rows.map((row) => row['n'] as number))
    at.clear()
    for (const row of rows) at.set(row['n'] as number, row['_offset'] as number)
    noteFlushed()
  }
  for (const { kind, count, to, power } of steps) {
    if (kind !== 'append' && kind !== 'crash' && power < 30) machine.powerLeft = power
    if (kind === 'append') {
      const ns = Array.from({ length: count }, () => model.next++)
      for (const n of ns) model.possible.add(n)
      const { wal } = life.log.policy
      const { offset } = await append(life, ns)
      for (const [index, n] of ns.entries()) at.set(n, offset + index)
      if (wal) for (const n of ns) model.promised.add(n)
    }
    if (kind === 'evict') evictOne(life, model, at)
    if (kind === 'alter') await life.alter(inMode(to)).catch(() => undefined)
    if (kind === 'run') await life.scheduler.run().catch(() => undefined)
    if (kind === 'flush') await life.scheduler.now([life.log], 'disk').catch(() => undefined)
    if (kind === 'crash' || machine.powerLeft < 0) {
      await reopen(power)
      continue
    }
    machine.powerLeft = Infinity
    noteFlushed()
    if (life.log.policy.ack === 'object') await life.scheduler.now([life.log], 'object')
    model.check(await numbers(life), true)
  }
}

/** Takes a batch from a log in RAM, as the governor may. */
function evictOne(life: Life, model: Model, at: ReadonlyMap<number, number>): void {
  const partition = life.log.partition(0)
  const batch = partition.batches[0]
  if (life.log.policy.mode !== 'memory' || partition.isOwing || batch === undefined) return
  partition.evict(batch)
  for (const n of model.possible) {
    const offset = at.get(n) ?? -1
    if (offset >= batch.baseOffset && offset < batch.endOffset) model.evicted.add(n)
  }
}
