/**
 * Appends of producers, over a WAL and a manifest: what comes again is applied once, whatever was lost in between. The
 * model is what the clients know: what they sent, and what was acknowledged.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { StratalogError, isStratalogError } from '../../../src/base/errors.ts'
import { seededRandom } from '../../../src/base/random.ts'
import type { Row } from '../../../src/format/schema-inference.ts'
import type { AppendResult, LiveLog } from '../../../src/log/live-log.ts'
import { MemorySyncFileSystem } from '../../../src/storage/memory-sync-file-system.ts'
import { type Life, Machine, openLife } from '../../support/durable-logs.ts'
import { expectError } from '../../support/expect-error.ts'
import {
  MEMORY_POLICY,
  Surroundings,
  liveLog,
  recoverLog,
  visibleRows,
} from '../../support/live-logs.ts'
import { HYBRID_POLICY, logDefinition } from '../../support/manifests.ts'

interface Sent {
  readonly sequence: number
  readonly epoch?: number
  readonly partition?: number
  readonly producerId?: string
}

function send(
  log: LiveLog,
  rows: readonly Row[],
  { sequence, epoch = 0, partition = 0, producerId = 'a' }: Sent,
  ack = log.policy.ack,
): Promise<AppendResult> {
  const producer = { producerId, epoch, sequence }
  const terms = { expiresAt: Infinity, priority: 0, producer }
  return log.append(log.partition(partition), { kind: 'rows', rows }, ack, 1_000, terms)
}

/** Whether a promise has settled by now. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false
  void promise.then(
    () => (settled = true),
    () => (settled = true),
  )
  for (let turn = 0; turn < 8; turn++) await Promise.resolve()
  return settled
}

describe('an append that comes again', () => {
  test('is answered with where it is, and not applied', async () => {
    const log = liveLog(new Surroundings())
    await send(log, [{ n: 1 }, { n: 2 }], { sequence: 0 })
    await send(log, [{ n: 3 }], { sequence: 1 })
    const again = await send(log, [{ n: 1 }, { n: 2 }], { sequence: 0 })
    expect(again).toEqual({ partition: 0, offset: 0, count: 2, isDuplicate: true })
    expect(visibleRows(log).map((row) => row['n'])).toEqual([1, 2, 3])
  })

  test('while the first is on its way waits until that is durable', async () => {
    const { log, testWal } = recoverLog(new MemorySyncFileSystem())
    const first = send(log, [{ n: 1 }], { sequence: 0 })
    const again = send(log, [{ n: 1 }], { sequence: 0 })
    expect(await isSettled(again)).toBe(false)
    expect(await send(log, [{ n: 1 }], { sequence: 0 }, 'memory')).toMatchObject({ offset: 0 })
    testWal.run()
    expect([await first, await again]).toMatchObject([{ offset: 0 }, { isDuplicate: true }])
    // And from then on waits for nothing, also while others are on their way.
    void send(log, [{ n: 2 }], { sequence: 1 })
    expect(await isSettled(send(log, [{ n: 1 }], { sequence: 0 }))).toBe(true)
    expect(visibleRows(log)).toHaveLength(1)
    testWal.run()
  })

  test('whose first attempt the disk failed is refused as that was', async () => {
    const fileSystem = new MemorySyncFileSystem()
    const { log, testWal } = recoverLog(fileSystem)
    const first = send(log, [{ n: 1 }], { sequence: 0 })
    const again = send(log, [{ n: 1 }], { sequence: 0 })
    const errors = [expectError(first, 'disk_failed'), expectError(again, 'disk_failed')]
    fileSystem.faults = ({ kind }) => {
      if (kind === 'dataSync') throw new StratalogError('file_system_failed', 'EIO')
      return undefined
    }
    testWal.run()
    await Promise.all(errors)
  })

  test('is applied where the first attempt was refused', async () => {
    const log = liveLog(new Surroundings())
    await send(log, [{ n: 1 }], { sequence: 0 })
    await expectError(send(log, [{ n: 'text' }], { sequence: 1 }), 'schema_mismatch')
    await expectError(send(log, [{ n: 2 }], { sequence: 2 }), 'producer_sequence_gap')
    expect(await send(log, [{ n: 2 }], { sequence: 1 })).toEqual({
      partition: 0,
      offset: 1,
      count: 1,
    })
  })

  test('is refused with other records than before, and nothing is applied', async () => {
    const log = liveLog(new Surroundings())
    await send(log, [{ n: 1 }], { sequence: 0 })
    const error = await expectError(
      send(log, [{ n: 1 }, { n: 2 }], { sequence: 0 }),
      'producer_append_differs',
    )
    expect(error.details).toMatchObject({ expected: 1, given: 2 })
    expect(visibleRows(log)).toHaveLength(1)
  })

  test('counts by partition', async () => {
    const log = liveLog(new Surroundings(), { definition: { partitions: 2 } })
    await send(log, [{ n: 1 }], { sequence: 0 })
    expect(await send(log, [{ n: 2 }], { sequence: 0, partition: 1 })).toEqual({
      partition: 1,
      offset: 0,
      count: 1,
    })
    await expectError(send(log, [{ n: 3 }], { sequence: 2, partition: 1 }), 'producer_sequence_gap')
  })

  test('is recognised when its records were evicted', async () => {
    const log = liveLog(new Surroundings(), { policy: MEMORY_POLICY })
    await send(log, [{ n: 1 }], { sequence: 0 })
    const [batch] = log.partition(0).batches
    if (batch !== undefined) log.partition(0).evict(batch)
    expect(await send(log, [{ n: 1 }], { sequence: 0 })).toMatchObject({ offset: 0, count: 1 })
    expect(visibleRows(log)).toEqual([])
  })

  test('is recognised when all there is was recovered', async () => {
    const fileSystem = new MemorySyncFileSystem()
    const first = recoverLog(fileSystem)
    const sent = [
      send(first.log, [{ n: 1 }], { sequence: 0 }),
      send(first.log, [{ n: 2 }], { sequence: 1 }),
    ]
    first.testWal.run()
    await Promise.all(sent)
    const { log } = recoverLog(fileSystem, { wal: { epoch: 2 } })
    expect(await send(log, [{ n: 2 }], { sequence: 1 })).toMatchObject({
      offset: 1,
      isDuplicate: true,
    })
    await expectError(send(log, [{ n: 3 }], { sequence: 3 }), 'producer_sequence_gap')
    await expectError(send(log, [{ n: 3 }], { sequence: 2, epoch: -1 }), 'producer_fenced')
  })

  test('is recognised when the WAL has let go of it', async () => {
    const machine = new Machine(seededRandom(1))
    const definition = logDefinition(1, { timeColumn: null })
    const first = await openLife(machine, definition)
    first.runAlone()
    for (const sequence of [0, 1, 2]) await send(first.log, [{ n: sequence }], { sequence })
    await first.scheduler.now([first.log], 'disk')
    expect(first.manifest.state.walLsn).toBe(first.wal.durableLsn)
    machine.crash()
    const { log, rows } = await openLife(machine, definition)
    expect(log.partition(0).hotRecords).toBe(0)
    expect(await send(log, [{ n: 1 }], { sequence: 1 })).toMatchObject({ offset: 1 })
    expect((await rows()).map((row) => row['n'])).toEqual([0, 1, 2])
  })

  test('is recognised when it came, and its batch was full, while a flush was under way', async () => {
    const machine = new Machine(seededRandom(1))
    const definition = logDefinition(1, { timeColumn: null })
    const first = await openLife(machine, definition)
    const sent = [send(first.log, [{ n: 0 }], { sequence: 0 })]
    const flushing = first.scheduler.now([first.log], 'disk')
    // The flush waits for the WAL; a new column ends a batch each time.
    while (first.log.partition(0).batches[0]?.isSealed !== true) await Promise.resolve()
    sent.push(send(first.log, [{ n: 1, b: 1 }], { sequence: 1 }))
    sent.push(send(first.log, [{ n: 2, c: 1 }], { sequence: 2 }))
    first.runAlone()
    await Promise.all([...sent, flushing])
    machine.crash()
    const { log, rows } = await openLife(machine, definition)
    for (const sequence of [0, 1, 2]) await send(log, [{ n: sequence }], { sequence }, 'memory')
    expect((await rows()).map((row) => row['n'])).toEqual([0, 1, 2])
  })

  test('is recognised in a log without a WAL as far as its records came to the disk', async () => {
    const machine = new Machine(seededRandom(1))
    const policy = { ...HYBRID_POLICY, wal: false, ack: 'memory' } as const
    const definition = logDefinition(1, { timeColumn: null, policy })
    const first = await openLife(machine, definition)
    first.runAlone()
    await send(first.log, [{ n: 0 }], { sequence: 0 })
    await first.scheduler.now([first.log], 'disk')
    await send(first.log, [{ n: 1 }], { sequence: 1 })
    machine.crash()
    const { log, rows } = await openLife(machine, definition)
    expect(await send(log, [{ n: 0 }], { sequence: 0 })).toMatchObject({ isDuplicate: true })
    const error = await expectError(send(log, [{ n: 2 }], { sequence: 2 }), 'producer_sequence_gap')
    expect(error.details).toMatchObject({ expected: 1 })
    await send(log, [{ n: 1 }], { sequence: 1 })
    expect((await rows()).map((row) => row['n'])).toEqual([0, 1])
  })
})

test('producers are remembered through a change of the mode and a crash after it', async () => {
  const machine = new Machine(seededRandom(1))
  const definition = logDefinition(1, { timeColumn: null, policy: MEMORY_POLICY })
  const first = await openLife(machine, definition)
  first.runAlone()
  for (const sequence of [0, 1]) await send(first.log, [{ n: sequence }], { sequence })
  await first.alter({ mode: 'persistent' })
  await send(first.log, [{ n: 2 }], { sequence: 2 })
  await first.scheduler.run()
  await first.alter({ mode: 'memory' })
  await send(first.log, [{ n: 3 }], { sequence: 3 })
  await first.scheduler.run()
  machine.crash()
  const { log, rows } = await openLife(machine, definition)
  for (const sequence of [0, 1, 2]) {
    expect(await send(log, [{ n: sequence }], { sequence })).toMatchObject({
      offset: sequence,
      isDuplicate: true,
    })
  }
  // The last was in RAM only, and is gone with what is remembered of it.
  expect(await send(log, [{ n: 3 }], { sequence: 3 })).toEqual({
    partition: 0,
    offset: 3,
    count: 1,
  })
  expect((await rows()).map((row) => row['n'])).toEqual([0, 1, 2, 3])
})

/** A client: sends in order, keeps what was not acknowledged, and sends that again after a crash. */
class Client {
  readonly sent: Row[][] = []
  readonly acknowledged = new Map<number, number>()
  readonly producerId: string
  problem: unknown = null

  constructor(producerId: string) {
    this.producerId = producerId
  }

  get inFlight(): number {
    return this.sent.length - this.acknowledged.size
  }

  append(life: Life, count: number): void {
    const sequence = this.sent.length
    this.sent.push(
      Array.from({ length: count }, (_, n) => ({ producer: this.producerId, sequence, n })),
    )
    this.send(life, sequence)
  }

  resend(life: Life): void {
    for (let sequence = 0; sequence < this.sent.length; sequence++)
      if (!this.acknowledged.has(sequence)) this.send(life, sequence)
  }

  send(life: Life, sequence: number): void {
    const rows = this.sent[sequence] ?? []
    send(life.log, rows, { sequence, producerId: this.producerId }).then(
      ({ offset, count }) => {
        // A machine that lost its power tells nobody any more.
        if (life !== this.life) return
        const before = this.acknowledged.get(sequence)
        if (count !== rows.length || (before !== undefined && before !== offset))
          this.problem ??= { sequence, before, offset, count }
        this.acknowledged.set(sequence, offset)
      },
      (error: unknown) => {
        const isPower = isStratalogError(error) && error.code === 'disk_failed'
        if (life === this.life && !isPower) this.problem ??= error
      },
    )
  }

  life: Life | null = null
}

const WINDOW = 20

type Step = {
  readonly kind: 'append' | 'retry' | 'run' | 'flush' | 'archive' | 'crash'
  readonly client: number
  readonly count: number
  readonly power: number
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.oneof(
    { weight: 8, arbitrary: fc.constant('append' as const) },
    { weight: 3, arbitrary: fc.constant('retry' as const) },
    { weight: 3, arbitrary: fc.constant('run' as const) },
    { weight: 2, arbitrary: fc.constantFrom('flush' as const, 'archive' as const) },
    { weight: 2, arbitrary: fc.constant('crash' as const) },
  ),
  client: fc.nat(2),
  count: fc.integer({ min: 1, max: 5 }),
  power: fc.nat(40),
})

test('through crashes at any call, what clients send again until it is acknowledged is there once', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 50 }), fc.nat(), runHistory),
    { numRuns: 80 },
  )
})

async function runHistory(steps: readonly Step[], seed: number): Promise<void> {
  const machine = new Machine(seededRandom(seed))
  const definition = logDefinition(1, { timeColumn: null })
  const clients = ['a', 'b', 'c'].map((id) => new Client(id))
  const open = async (): Promise<Life> => {
    for (;;) {
      try {
        const life = await openLife(machine, definition)
        for (const client of clients) client.life = life
        for (const client of clients) client.resend(life)
        return life
      } catch (error) {
        if (machine.powerLeft > 0) throw error
        machine.crash()
      }
    }
  }
  let life = await open()
  const crash = async (power = Infinity): Promise<void> => {
    for (const client of clients) client.life = null
    machine.crash()
    machine.powerLeft = power
    life = await open()
  }
  for (const { kind, client: index, count, power } of steps) {
    const client = clients[index]
    if (kind === 'append' && client !== undefined && client.inFlight < WINDOW)
      client.append(life, count)
    if (kind === 'retry' && client !== undefined && client.sent.length > 0)
      client.send(life, Math.max(0, client.sent.length - count))
    if (kind === 'run') life.run()
    if (kind === 'crash') await crash(power)
    if (kind === 'flush' || kind === 'archive') {
      if (power < 20) machine.powerLeft = power
      life.runAlone()
      await life.scheduler
        .now([life.log], kind === 'flush' ? 'disk' : 'object')
        .catch(() => undefined)
    }
    for (let turn = 0; turn < 6; turn++) await Promise.resolve()
    if (machine.powerLeft < 0) await crash()
    expect(clients.map(({ problem }) => problem)).toEqual([null, null, null])
  }
  machine.powerLeft = Infinity
  await crash()
  life.runAlone()
  for (let turn = 0; turn < 50; turn++) await Promise.resolve()
  expect(clients.map(({ inFlight, problem }) => [inFlight, problem])).toEqual(
    clients.map(() => [0, null]),
  )
  const found = await life.rows()
  expect(found.map((row) => row['_offset'])).toEqual(found.map((_, offset) => offset))
  for (const { producerId, sent, acknowledged } of clients) {
    const own = found.filter((row) => row['producer'] === producerId)
    expect(own.map(({ sequence, n }) => [sequence, n])).toEqual(
      sent.flat().map(({ sequence, n }) => [sequence, n]),
    )
    for (const [sequence, offset] of acknowledged)
      expect(found[offset]).toMatchObject({ producer: producerId, sequence, n: 0 })
  }
}
