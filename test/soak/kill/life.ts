/** One life of the process that is killed (kill-child.ts). */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { env } from 'node:process'
import { systemClock } from '../../../src/base/clock.ts'
import { programAt } from '../../support/program.ts'
import type { SenderStart } from './sent-record.ts'

const CHILD = programAt('test/soak/kill/kill-child.ts')
/** A life that neither ends nor is killed by then hangs. */
const HANGS_AFTER_MS = 120_000

/** What kill-child.ts is told, as JSON. */
export interface LifeOptions {
  readonly dataDir: string
  /** Null: there is no archive. */
  readonly archive: string | null
  readonly life: number
  /** Where it tells of its appends. */
  readonly journal: string
  /** Appends until it moves all to the archive, makes a snapshot and closes; null: it appends without end. */
  readonly appends: number | null
  readonly senders: readonly SenderStart[]
}

export interface LifeEnd {
  /** `ended`: by itself and without a failure; `failed`: by itself with one; `hung`: it had to be ended. */
  readonly how: 'killed' | 'ended' | 'failed' | 'hung'
  readonly stderr: string
}

/**
 * System calls that change what is on disk: a kill before each of them leaves each state that there is. A file that
 * `openat` makes is the state before its first `write`, of which there are others too, to pipes.
 */
export const CHANGING_CALLS = [
  'write',
  'pwrite64',
  'fdatasync',
  'fsync',
  'rename',
  'unlink',
  'ftruncate',
  'fallocate',
  'mkdir',
  'link',
] as const

export function hasStrace(): boolean {
  return spawnSync('strace', ['--version'], { stdio: 'ignore' }).status === 0
}

/**
 * A life whose process is killed `afterMs` after it opened its engine, or after its start where `isEarly`; `before`
 * runs right before that.
 */
export async function lifeUntil(
  options: LifeOptions,
  afterMs: number,
  isEarly: boolean,
  before: () => void = () => undefined,
): Promise<LifeEnd> {
  const child = start([process.execPath, CHILD, JSON.stringify(options)])
  const opened = new Promise<void>((resolve) => child.stdout?.once('data', () => resolve()))
  const end = endOf(child)
  if (!isEarly) await Promise.race([opened, end])
  await systemClock.sleep(afterMs)
  before()
  child.kill('SIGKILL')
  return end
}

/** A life that strace watches, with these arguments of its own. */
export function lifeUnderStrace(
  options: LifeOptions,
  straceArguments: readonly string[],
): Promise<LifeEnd> {
  const strace = ['strace', '-f', '-qq', '--seccomp-bpf', ...straceArguments]
  return endOf(start([...strace, process.execPath, CHILD, JSON.stringify(options)]))
}

/** Arguments that kill the process before its `count`-th call of that name in one thread. */
export function killAt(call: string, count: number): readonly string[] {
  return ['-o', '/dev/null', '-e', `inject=${call}:signal=SIGKILL:when=${count}`]
}

/** How often one thread made each of the calls at most, as a trace to `file` says. */
export async function callCounts(file: string): Promise<ReadonlyMap<string, number>> {
  const byThread = new Map<string, number>()
  const most = new Map<string, number>()
  for (const line of (await readFile(file, 'utf8')).split('\n')) {
    const [, thread, call] = /^(\d+) +(\w+)\(/.exec(line) ?? []
    if (thread === undefined || call === undefined) continue
    const key = `${thread} ${call}`
    const count = (byThread.get(key) ?? 0) + 1
    byThread.set(key, count)
    most.set(call, Math.max(most.get(call) ?? 0, count))
  }
  return most
}

function start(command: readonly string[]): ChildProcess {
  const [program = '', ...rest] = command
  return spawn(program, rest, {
    stdio: ['ignore', 'pipe', 'pipe'],
    // One thread of the pool and no io_uring: strace sees the calls, and counts them alike each time.
    // A cache of compiled code would add calls that are none of ours.
    env: {
      ...env,
      UV_THREADPOOL_SIZE: '1',
      UV_USE_IO_URING: '0',
      NODE_DISABLE_COMPILE_CACHE: '1',
    },
  })
}

function endOf(child: ChildProcess): Promise<LifeEnd> {
  let stderr = ''
  let isHung = false
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
  })
  child.stdout?.resume()
  const watchdog = systemClock.setTimer(HANGS_AFTER_MS, () => {
    isHung = true
    child.kill('SIGKILL')
  })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      watchdog.cancel()
      const wasKilled = signal === 'SIGKILL' || code === 137
      const how = isHung ? 'hung' : wasKilled ? 'killed' : code === 0 ? 'ended' : 'failed'
      resolve({ how, stderr })
    })
  })
}
