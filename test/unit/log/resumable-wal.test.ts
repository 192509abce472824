import { describe, expect, test } from 'vitest'
import { isStratalogError, StratalogError } from '../../../src/base/errors.ts'
import { seededRandom } from '../../../src/base/random.ts'
import type { AckLevel } from '../../../src/format/manifest.ts'
import type { LiveLog } from '../../../src/log/live-log.ts'
import {
  MemorySyncFileSystem,
  type SyncFaults,
} from '../../../src/storage/memory-sync-file-system.ts'
import { type DiskBench, diskBench, numbersOf } from '../../support/disk-bench.ts'

type Outcome = 'waiting' | 'acknowledged' | 'not_applied' | 'unknown'

/** Every append of a history, by the number that its record holds, with what its caller was told. */
class Told {
  readonly outcomes = new Map<number, Outcome>()
  readonly logs = new Map<number, { readonly log: string; readonly ack: AckLevel }>()
  readonly codes = new Set<string>()
  #next = 0

  append(log: LiveLog, ack: AckLevel = log.policy.ack, partition = 0): void {
    const n = this.#next++
    // Long enough that a few of them fill a file.
    const rows = [{ n, text: 'x'.repeat(40 + ((n * 37) % 300)) }]
    this.outcomes.set(n, 'waiting')
    this.logs.set(n, { log: log.name, ack })
    log.append(log.partition(partition), { kind: 'rows', rows }, ack, 1_000 + n).then(
      () => this.outcomes.set(n, 'acknowledged'),
      (error: unknown) => {
        if (!isStratalogError(error)) throw error
        this.codes.add(error.code)
        this.outcomes.set(n, error.details['fate'] === 'not_applied' ? 'not_applied' : 'unknown')
      },
    )
  }

  of(outcome: Outcome): number[] {
    return [...this.outcomes].flatMap(([n, told]) => (told === outcome ? [n] : []))
  }
}

/** Two turns of appends to every log at every level, with some of them under way together. */
async function history(bench: DiskBench, told: Told): Promise<void> {
  for (let round = 0; round < 2; round++) {
    told.append(bench.durable)
    told.append(bench.fast)
    told.append(bench.durable, 'disk', 1)
    await bench.settle()
    told.append(bench.durable, 'memory', 1)
    told.append(bench.ram)
    told.append(bench.durable, 'disk', 1)
    told.append(bench.fast, 'disk')
    told.append(bench.durable)
    await bench.settle()
  }
}

function seen(bench: DiskBench): number[] {
  const { durable, fast, ram } = bench
  const all = [numbersOf(durable), numbersOf(durable, 1), numbersOf(fast), numbersOf(ram)]
  for (const numbers of all) {
    // In each partition in the order of the appends, none twice.
    expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => Number(a) - Number(b)))
  }
  return all.flat() as number[]
}

/** Nothing acknowledged is missing, nothing is there that was refused for certain. */
function check(told: Told, numbers: readonly number[], isLost: (n: number) => boolean): void {
  const there = new Set(numbers)
  for (const n of told.of('acknowledged')) if (!isLost(n)) expect(there).toContain(n)
  for (const n of told.of('not_applied')) expect(there).not.toContain(n)
  for (const n of numbers) expect(told.outcomes.has(n)).toBe(true)
}

const error = (errno: 'ENOSPC' | 'EROFS' | 'EIO', path: string): StratalogError => {
  const code =
    errno === 'ENOSPC' ? 'disk_full' : errno === 'EROFS' ? 'disk_read_only' : 'file_system_failed'
  return new StratalogError(code, errno, { details: { errno, path } })
}

/** Faults that begin at the call of a number; `calls` counts them. */
interface Fault {
  readonly name: string
  readonly endsEpoch: boolean
  readonly state: string
  readonly faults: (first: number) => SyncFaults
}

function fromCall(first: number, fault: SyncFaults): SyncFaults {
  let call = 0
  return (operation) => (call++ >= first ? fault(operation) : undefined)
}

const FAULTS: readonly Fault[] = [
  {
    name: 'a full disk',
    endsEpoch: false,
    state: 'full',
    faults: (first) =>
      fromCall(first, ({ kind, path }) => {
        if (kind === 'write') throw error('ENOSPC', path)
        return undefined
      }),
  },
  {
    name: 'a disk that fills in the middle of a write',
    endsEpoch: false,
    state: 'full',
    faults: (first) => {
      let left = 300
      return fromCall(first, ({ kind, path, length }) => {
        if (kind !== 'write') return undefined
        if (left === 0) throw error('ENOSPC', path)
        const taken = Math.min(left, length)
        left -= taken
        return taken
      })
    },
  },
  {
    name: 'a read-only file system',
    endsEpoch: false,
    state: 'read_only',
    faults: (first) =>
      fromCall(first, ({ kind, path }) => {
        if (kind === 'write' || kind === 'rename') throw error('EROFS', path)
        return undefined
      }),
  },
  {
    name: 'a sync that fails, and all after it',
    endsEpoch: true,
    state: 'failed',
    faults: (first) =>
      fromCall(first, ({ kind, path }) => {
        if (['dataSync', 'sync', 'syncDirectory'].includes(kind)) throw error('EIO', path)
        return undefined
      }),
  },
  {
    name: 'one failed sync after which the next succeeds',
    endsEpoch: true,
    state: 'failed',
    faults: (first) => {
      let failed = false
      return fromCall(first, ({ kind, path }) => {
        if (failed || !['dataSync', 'sync', 'syncDirectory'].includes(kind)) return undefined
        failed = true
        throw error('EIO', path)
      })
    },
  },
  {
    name: 'one failed write',
    endsEpoch: true,
    state: 'failed',
    faults: (first) => {
      let failed = false
      return fromCall(first, ({ kind, path }) => {
        if (failed || kind !== 'write') return undefined
        failed = true
        throw error('EIO', path)
      })
    },
  },
  {
    name: 'a sync that fails for want of space',
    endsEpoch: true,
    state: 'failed',
    faults: (first) => {
      let failed = false
      return fromCall(first, ({ kind, path }) => {
        if (failed || kind !== 'dataSync') return undefined
        failed = true
        throw error('ENOSPC', path)
      })
    },
  },
]

async function countCalls(): Promise<number> {
  const fileSystem = new MemorySyncFileSystem()
  const bench = diskBench(fileSystem)
  let calls = 0
  fileSystem.faults = (): undefined => void calls++
  await history(bench, new Told())
  return calls
}

describe.each(FAULTS)('$name, at every call of a small history', ({ faults, endsEpoch, state }) => {
  test('loses nothing that was acknowledged, invents nothing, and resumes', async () => {
    const calls = await countCalls()
    expect(calls).toBeGreaterThan(30)
    let hits = 0
    for (let first = 0; first < calls; first++) {
      const fileSystem = new MemorySyncFileSystem({ random: seededRandom(first) })
      const bench = diskBench(fileSystem)
      const told = new Told()
      fileSystem.faults = faults(first)
      await history(bench, told)
      const isHit = bench.disk.state !== 'working'
      hits += isHit ? 1 : 0
      if (isHit) {
        expect(bench.disk.state, `call ${first}`).toBe(state)
        // Reads go on of what was acknowledged, and show nothing below the log's own level.
        const isHidden = (n: number): boolean =>
          told.logs.get(n)?.log === bench.durable.name && told.logs.get(n)?.ack === 'memory'
        check(told, seen(bench), isHidden)
        told.append(bench.ram)
        told.append(bench.durable)
        await bench.settle()
        expect(told.outcomes.get(told.outcomes.size - 2)).toBe('acknowledged')
        expect(told.outcomes.get(told.outcomes.size - 1)).toBe('not_applied')
      }
      fileSystem.faults = (): undefined => undefined
      await bench.heal()
      expect(bench.disk.state, `call ${first}`).toBe('working')
      expect(bench.epoch()).toBe(endsEpoch && isHit ? 2 : 1)
      await history(bench, told)
      expect(told.of('waiting')).toEqual([])
      check(told, seen(bench), () => false)
      // A power cut after it: what was acknowledged on disk is there, what was refused is not.
      fileSystem.crash()
      const after = diskBench(fileSystem, { epoch: bench.epoch() + 1 })
      const isOnlyInRam = (n: number): boolean => told.logs.get(n)?.log === bench.ram.name
      check(told, seen(after), isOnlyInRam)
    }
    expect(hits).toBeGreaterThan(calls / 4)
  })

  test('followed by a power cut before it resumed loses nothing that was acknowledged on disk', async () => {
    const calls = await countCalls()
    for (let first = 0; first < calls; first++) {
      const fileSystem = new MemorySyncFileSystem({ random: seededRandom(first * 7 + 1) })
      const bench = diskBench(fileSystem)
      const told = new Told()
      fileSystem.faults = faults(first)
      await history(bench, told)
      fileSystem.faults = (): undefined => undefined
      fileSystem.crash()
      const after = diskBench(fileSystem, { epoch: 2 })
      check(told, seen(after), (n) => told.logs.get(n)?.ack === 'memory')
      // What it goes on with is whole.
      await history(after, new Told())
      expect(after.disk.state).toBe('working')
    }
  })
})
