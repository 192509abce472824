/**
 * The WAL under a disk that is harsher than any kernel: power fails at any operation, also while
 * recovering, any subset of unsynced sectors and names survives, syncs fail, writes are cut short.
 * The model is an array of what was appended.
 *
 * Each life of a WAL: scan, compare with the model, continue, append and release at random until something stops it.
 */
import { describe, expect, test } from 'vitest'
import { StratalogError, isStratalogError } from '../../../src/base/errors.ts'
import { type Random, randomFraction, seededRandom } from '../../../src/base/random.ts'
import { MemorySyncFileSystem } from '../../../src/storage/memory-sync-file-system.ts'
import { type TestWal, appendPayload, openTestWal, testPayload } from '../../support/wal.ts'

const SEEDS = process.env['CI'] === 'true' ? 2_000 : 400
const LIVES = 6

interface ModelFrame {
  readonly number: number
  readonly endLsn: number
  readonly payload: Uint8Array
}

interface Model {
  /** In LSN order: what was appended since `fromLsn` and not found missing by a recovery. */
  frames: ModelFrame[]
  acknowledgedLsn: number
  /** The checkpoint: durable before anything is released. */
  fromLsn: number
  nextNumber: number
}

class PowerCut extends StratalogError {
  constructor() {
    super('file_system_failed', 'the power is cut')
  }
}

describe('a WAL on a failing machine', () => {
  test(`loses no acknowledged frame and invents none, in ${SEEDS} histories of ${LIVES} lives`, () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      try {
        runHistory(seed)
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error })
      }
    }
  })
})

function runHistory(seed: number): void {
  const random = seededRandom(seed)
  const fileSystem = new MemorySyncFileSystem({ random })
  const model: Model = { frames: [], acknowledgedLsn: 0, fromLsn: 0, nextNumber: 0 }
  for (let epoch = 1; epoch <= LIVES; epoch++) {
    plantFaults(fileSystem, random)
    try {
      live(fileSystem, model, epoch, random)
    } catch (error) {
      if (!isPlanted(error)) throw error
    }
    fileSystem.faults = (): undefined => undefined
    // A process that dies loses nothing that was written; a machine that does loses what was not synced.
    if (randomFraction(random) < 0.7) fileSystem.crash()
    else fileSystem.kill()
  }
}

function live(fileSystem: MemorySyncFileSystem, model: Model, epoch: number, random: Random): void {
  const open = openTestWal(fileSystem, { epoch, fromLsn: model.fromLsn })
  compare(open, model)
  open.wal.onDurable((lsn) => (model.acknowledgedLsn = lsn))
  const steps = random.uint32() % 40
  for (let step = 0; step < steps && open.wal.failure === null; step++) {
    const choice = randomFraction(random)
    if (choice < 0.6) append(open, model, random)
    else if (choice < 0.9) open.run()
    else release(open, model)
  }
  open.run()
}

function append(open: TestWal, model: Model, random: Random): void {
  const isLarge = randomFraction(random) < 0.05
  const payload = testPayload(model.nextNumber, random.uint32() % (isLarge ? 6000 : 700))
  const number = model.nextNumber++
  model.frames.push({ number, payload, endLsn: appendPayload(open.wal, number, payload) })
}

function release(open: TestWal, model: Model): void {
  const durable = model.frames.filter(({ endLsn }) => endLsn <= open.wal.durableLsn)
  const last = durable.at(-Math.min(durable.length, 3))
  if (last === undefined) return
  model.fromLsn = last.endLsn
  model.frames = model.frames.filter(({ endLsn }) => endLsn > model.fromLsn)
  open.wal.release(model.fromLsn)
}

/**
 * What was recovered is a prefix of what was appended, at least up to the last acknowledgement; now it is all durable.
 */
function compare(open: TestWal, model: Model): void {
  const found = open.frames.filter(({ frame }) => frame.kind === 'append')
  const expected = model.frames.slice(0, found.length)
  expect(found.map(({ frame }) => frame.baseOffset)).toEqual(expected.map(({ number }) => number))
  for (const [index, { payload }] of found.entries()) {
    if (Buffer.compare(payload, expected[index]?.payload ?? new Uint8Array(0)) !== 0)
      throw new Error(`payload ${index} differs`)
  }
  expect(open.recovered.endLsn).toBe(expected.at(-1)?.endLsn ?? model.fromLsn)
  expect(open.recovered.endLsn).toBeGreaterThanOrEqual(model.acknowledgedLsn)
  model.frames = expected
  model.acknowledgedLsn = open.recovered.endLsn
}

function plantFaults(fileSystem: MemorySyncFileSystem, random: Random): void {
  let left = randomFraction(random) < 0.8 ? random.uint32() % 60 : Infinity
  const isPower = randomFraction(random) < 0.7
  fileSystem.faults = ({ kind, path, length }): number | undefined => {
    if (left-- <= 0) {
      if (isPower) throw new PowerCut()
      if (kind === 'write' || kind === 'dataSync' || kind === 'sync') {
        throw new StratalogError('file_system_failed', 'EIO', { details: { errno: 'EIO', path } })
      }
    }
    return kind === 'write' && randomFraction(random) < 0.2 ? Math.ceil(length / 2) : undefined
  }
}

/** What the WAL says of a fault that was planted; anything else is a finding. */
function isPlanted(error: unknown): boolean {
  return (
    isStratalogError(error) && (error.code === 'disk_failed' || error.code === 'file_system_failed')
  )
}
