/**
 * The WAL on real threads. What the inline WAL cannot show: wakes that get lost, acknowledgements
 * that never come, bytes that one thread overwrites under the other. Both sides are slowed down at
 * random, and the ring is as small as it can be.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { StratalogError } from '../../src/base/errors.ts'
import { WaitingWalThread, spawnWalThread } from '../../src/engine/workers/spawn-wal-thread.ts'
import { type Wal, createThreadWal } from '../../src/log/wal.ts'
import { NodeSyncFileSystem } from '../../src/storage/node-sync-file-system.ts'
import { threadsSoak } from '../soak/threads.ts'
import type { Trouble } from '../support/troubled-wal-worker.ts'
import { readThreadWal, threadWalOptions, troubledThread } from '../support/thread-wal.ts'
import { appendFields, appendPayload, testPayload } from '../support/wal.ts'

const ROUNDS = process.env['CI'] === 'true' ? 60 : 8

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
  test(
    'loses no wake: every append is acknowledged, in order, and found again, but after a failed sync',
    { timeout: 900_000 },
    async () => {
      const limits = { seed: 1, cycles: ROUNDS, timeMs: Infinity, onProgress: () => undefined }
      const report = await threadsSoak(limits)
      expect(report.violations).toEqual([])
      expect(report.tried).toBe(ROUNDS)
      expect(report.acknowledged).toBeGreaterThan(ROUNDS * 1_000)
    },
  )

  test('acknowledges one append after the other, each of which finds the writer asleep', async () => {
    const wal = await open({ seed: 1, goodSyncs: null })
    for (let index = 0; index < 300; index++) {
      const end = appendPayload(wal, index, testPayload(index, 100))
      await wal.flush()
      expect(wal.durableLsn).toBe(end)
    }
    await wal.close()
  })

  test('fails when its thread ends unasked', async () => {
    const wal = await open({ seed: 3, goodSyncs: null })
    const failure = new Promise<StratalogError>((resolve) => wal.onFailure(resolve))
    await workers[0]?.terminate()
    expect(await failure).toMatchObject({ code: 'internal' })
    expect(() => appendPayload(wal, 0, new Uint8Array(8))).toThrow(/has ended/)
    await wal.close()
  })

  test('that cannot open its files says so', async () => {
    const blocked = {
      ...threadWalOptions(directory),
      directory: '/proc/stratalog-none',
      spawn: spawnWalThread,
    }
    await expect(createThreadWal(blocked)).rejects.toMatchObject({ code: 'disk_failed' })
  })

  test('takes frames larger than its ring', async () => {
    const wal = await createThreadWal({ ...threadWalOptions(directory), spawn: spawnWalThread })
    const lengths = [100, 500_000, 7, 3_000_000, 12]
    for (const [index, length] of lengths.entries())
      appendPayload(wal, index, testPayload(index, length))
    await wal.close()
    const frames = readThreadWal(directory).frames.filter(({ frame }) => frame.kind === 'append')
    expect(frames.map(({ payload }) => payload.length)).toEqual(lengths)
    expect(Buffer.compare(frames[3]?.payload ?? new Uint8Array(0), testPayload(3, 3_000_000))).toBe(
      0,
    )
  })

  test('recycles released files and continues after being reopened', async () => {
    const base = threadWalOptions(directory)
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
      recovered = readThreadWal(directory, fromLsn).result
    }
    expect(new NodeSyncFileSystem().list(join(directory, 'wal')).length).toBeLessThan(8)
  })
})

describe('a thread that waits for its WAL', () => {
  test('takes it, and then ends with it only', async () => {
    const waiting = new WaitingWalThread()
    const wal = await createThreadWal({ ...threadWalOptions(directory), spawn: waiting.spawn })
    await waiting.end()
    const end = appendPayload(wal, 0, testPayload(0, 100))
    await wal.flush()
    expect(wal.durableLsn).toBe(end)
    await wal.close()
  })

  test('fails the WAL that it is told of when it has ended', async () => {
    const waiting = new WaitingWalThread()
    await waiting.end()
    const options = { ...threadWalOptions(directory), spawn: waiting.spawn }
    await expect(createThreadWal(options)).rejects.toMatchObject({ code: 'internal' })
  })
})

describe('a process with a WAL', () => {
  test('ends by itself while a thread waits that is told of no WAL', async () => {
    const script = `new WaitingWalThread(); await wal.flush(); console.log('flushed')`
    expect(await runScript(script)).toEqual({ code: 0, output: 'flushed\n' })
  })

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

function open(trouble: Trouble): Promise<Wal> {
  return createThreadWal({
    ...threadWalOptions(directory),
    spawn: troubledThread(trouble, workers),
  })
}

/** Runs a process that has a WAL open as `wal`, never closes it, and does `body`. */
async function runScript(body: string): Promise<{ code: number | null; output: string }> {
  const url = (path: string): string =>
    JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href)
  const script = `
    import { createThreadWal } from ${url('log/wal.ts')}
    import { WaitingWalThread, spawnWalThread } from ${url('engine/workers/spawn-wal-thread.ts')}
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
