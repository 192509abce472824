/**
 * The WAL on real threads. What the inline WAL cannot show: wakes that get lost, acknowledgements
 * that never come, bytes that one thread overwrites under the other. Both sides are slowed down at
 * random, and the ring is as small as it can be.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { StratalogError } from '../../src/base/errors.ts'
import { type Random, randomFraction, seededRandom } from '../../src/base/random.ts'
import { spawnWalThread } from '../../src/engine/workers/spawn-wal-thread.ts'
import type { SpawnWalThread } from '../../src/log/wal-thread.ts'
import { type WalScanResult, scanWal } from '../../src/log/wal-scan.ts'
import { type ThreadWalOptions, type Wal, createThreadWal } from '../../src/log/wal.ts'
import { NodeSyncFileSystem } from '../../src/storage/node-sync-file-system.ts'
import type { Trouble } from '../support/troubled-wal-worker.ts'
import {
  ENGINE_ID,
  type ReadFrame,
  appendFields,
  appendPayload,
  testPayload,
} from '../support/wal.ts'

const ROUNDS = process.env['CI'] === 'true' ? 60 : 8
const FRAMES = 3_000
const SIZES = { fileBytesMin: 64 * 1024, fileBytesMax: 1024 * 1024, zeroAheadBytes: 16 * 1024 }
const RING_BYTES = 4096

let directory = ''
const workers: Worker[] = []

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'stratalog-wal-'))
})
afterEach(async () => {
  await Promise.all(workers.splice(0).map((worker) => worker.terminate()))
  rmSync(directory, { recursive: true, force: true })
})

describe('the WAL on real threads', () => {
  test.each(Array.from({ length: ROUNDS }, (_, index) => index + 1))(
    'loses no wake: every append is acknowledged, in order, and found again (seed %i)',
    async (seed) => {
      const random = seededRandom(seed)
      const wal = await open(troubled({ seed, goodSyncs: null }))
      const acknowledged: number[] = []
      wal.onDurable((lsn) => acknowledged.push(lsn))
      const lengths = await appendRandomly(wal, random)
      await wal.flush()
      expect(wal.durableLsn).toBe(wal.appendedLsn)
      expect(acknowledged.at(-1)).toBe(wal.appendedLsn)
      expect(acknowledged).toEqual([...new Set(acknowledged)].sort((a, b) => a - b))
      await wal.close()
      const frames = read().frames.filter(({ frame }) => frame.kind === 'append')
      expect(frames.length).toBe(lengths.length)
      for (const [index, { frame, payload }] of frames.entries()) {
        if (
          frame.baseOffset === index &&
          Buffer.compare(payload, testPayload(index, lengths[index] ?? 0)) === 0
        )
          continue
        throw new Error(`frame ${index} differs`)
      }
    },
  )

  test('acknowledges one append after the other, each of which finds the writer asleep', async () => {
    const wal = await open(troubled({ seed: 1, goodSyncs: null }))
    for (let index = 0; index < 300; index++) {
      const end = appendPayload(wal, index, testPayload(index, 100))
      await wal.flush()
      expect(wal.durableLsn).toBe(end)
    }
    await wal.close()
  })

  test('after a failed sync acknowledges nothing more, and says which error it was', async () => {
    const wal = await open(troubled({ seed: 2, goodSyncs: 3 }))
    const failures: StratalogError[] = []
    wal.onFailure((failure) => failures.push(failure))
    const flushes: Promise<boolean>[] = []
    let next = 0
    for (; wal.failure === null; next++) {
      appendPayload(wal, next, testPayload(next, 64))
      flushes.push(
        wal.flush().then(
          () => true,
          () => false,
        ),
      )
      await setImmediate()
    }
    const isFlushed = await Promise.all(flushes)
    const count = isFlushed.indexOf(false)
    expect(isFlushed.slice(count).some(Boolean)).toBe(false)
    expect(wal.durableLsn).toBe(count * 144)
    expect(failures).toMatchObject([{ code: 'disk_failed', details: { errno: 'EIO' } }])
    await wal.close()
  })

  test('fails when its thread ends unasked', async () => {
    const wal = await open(troubled({ seed: 3, goodSyncs: null }))
    const failure = new Promise<StratalogError>((resolve) => wal.onFailure(resolve))
    await workers[0]?.terminate()
    expect(await failure).toMatchObject({ code: 'internal' })
    expect(() => appendPayload(wal, 0, new Uint8Array(8))).toThrow(/has ended/)
    await wal.close()
  })

  test('that cannot open its files says so', async () => {
    const blocked = { ...baseOptions(), directory: '/proc/stratalog-none', spawn: spawnWalThread }
    await expect(createThreadWal(blocked)).rejects.toMatchObject({ code: 'disk_failed' })
  })

  test('takes frames larger than its ring', async () => {
    const wal = await createThreadWal({ ...baseOptions(), spawn: spawnWalThread })
    const lengths = [100, 500_000, 7, 3_000_000, 12]
    for (const [index, length] of lengths.entries())
      appendPayload(wal, index, testPayload(index, length))
    await wal.close()
    const frames = read().frames.filter(({ frame }) => frame.kind === 'append')
    expect(frames.map(({ payload }) => payload.length)).toEqual(lengths)
    expect(Buffer.compare(frames[3]?.payload ?? new Uint8Array(0), testPayload(3, 3_000_000))).toBe(
      0,
    )
  })

  test('recycles released files and continues after being reopened', async () => {
    const base = baseOptions()
    let { recovered } = base
    let number = 0
    for (let epoch = 1; epoch <= 4; epoch++) {
      const wal = await createThreadWal({ ...base, epoch, recovered, spawn: spawnWalThread })
      for (let round = 0; round < 10; round++) {
        for (let index = 0; index < 100; index++)
          appendPayload(wal, number++, testPayload(number, 1_000))
        await wal.flush()
        wal.release(wal.durableLsn)
      }
      const fromLsn = wal.durableLsn
      await wal.close()
      recovered = read(fromLsn).result
    }
    expect(new NodeSyncFileSystem().list(join(directory, 'wal')).length).toBeLessThan(8)
  })
})

describe('a process with a WAL', () => {
  test('ends by itself when nothing is pending, though the WAL is open', async () => {
    expect(await runScript(`await wal.flush(); console.log('flushed')`)).toEqual({
      code: 0,
      output: 'flushed\n',
    })
  })

  test('lives until what was appended is acknowledged', async () => {
    const script = `wal.onDurable((lsn) => console.log('durable', lsn)); append()`
    expect(await runScript(script)).toEqual({ code: 0, output: 'durable 88\n' })
  })
})

async function appendRandomly(wal: Wal, random: Random): Promise<number[]> {
  const lengths: number[] = []
  while (lengths.length < FRAMES) {
    const isLarge = randomFraction(random) < 0.01
    lengths.push(random.uint32() % (isLarge ? 20_000 : 400))
    const number = lengths.length - 1
    appendPayload(wal, number, testPayload(number, lengths[number] ?? 0))
    const choice = random.uint32() % 16
    if (choice === 0) await setImmediate()
    else if (choice === 1) await wal.flush()
    else if (choice < 6 && wal.backpressure !== null) await wal.backpressure
    else if (choice === 6) for (let spin = random.uint32() % 50_000; spin > 0; spin--);
  }
  return lengths
}

function troubled(trouble: Trouble): SpawnWalThread {
  return (start, listener) => {
    const entry = new URL('../support/troubled-wal-worker.ts', import.meta.url)
    const worker = new Worker(entry, { workerData: { start, trouble }, execArgv: [] })
    workers.push(worker)
    worker.on('message', listener.onMessage)
    worker.on('exit', () => listener.onEnd(null))
    return { setHoldsProcess: (holds) => (holds ? worker.ref() : worker.unref()) }
  }
}

function baseOptions(): Omit<ThreadWalOptions, 'spawn'> {
  const { result } = read()
  return {
    directory: join(directory, 'wal'),
    engineId: ENGINE_ID,
    epoch: 1,
    recovered: result,
    ringBytes: RING_BYTES,
    sizes: SIZES,
  }
}

function open(spawnThread: SpawnWalThread): Promise<Wal> {
  return createThreadWal({ ...baseOptions(), spawn: spawnThread })
}

function read(fromLsn = 0): { result: WalScanResult; frames: ReadFrame[] } {
  const frames: ReadFrame[] = []
  const result = scanWal(new NodeSyncFileSystem(), join(directory, 'wal'), {
    engineId: ENGINE_ID,
    fromLsn,
    onFrame: (frame, payload) => frames.push({ frame, payload: payload.slice() }),
  })
  return { result, frames }
}

/** Runs a process that has a WAL open as `wal`, never closes it, and does `body`. */
async function runScript(body: string): Promise<{ code: number | null; output: string }> {
  const url = (path: string): string =>
    JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href)
  const script = `
    import { createThreadWal } from ${url('log/wal.ts')}
    import { spawnWalThread } from ${url('engine/workers/spawn-wal-thread.ts')}
    const wal = await createThreadWal({
      directory: ${JSON.stringify(join(directory, 'wal'))}, engineId: 'e', epoch: 1, spawn: spawnWalThread,
      recovered: { fromLsn: 0, durableLsn: 0, endLsn: 0 },
    })
    const fields = ${JSON.stringify(appendFields(0))}
    const append = () => wal.append(fields, 8, (into, at) => into.fill(1, at, at + 8))
    ${body}`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.on('data', (text: Buffer) => (output += text.toString()))
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  return { code, output }
}
