/**
 * All harnesses, one after the other and in rounds, each in a process of its own: what one of them does to its process
 * is no matter of the next, and a harness that dies is a finding. Each round goes on with the seeds after those of the
 * one before. The time that is left is divided anew before each harness, so that all end in time though some go over.
 *
 * A signal ends it with what was done so far: the harness that runs is asked to end with the case that it is at.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { execArgv, execPath } from 'node:process'
import { text } from 'node:stream/consumers'
import { type Timer, systemClock } from '../../src/base/clock.ts'
import type { SoakReport, Violation } from './report.ts'

export interface AllHarness {
  readonly name: string
  /** Of the time, against those of the others. */
  readonly share: number
  /** What it is given beside its time and seed. */
  readonly options: readonly string[]
  /** Why it cannot run on this machine; null where it can. */
  readonly lack: string | null
}

export interface AllOptions {
  readonly harnesses: readonly AllHarness[]
  /** Null: one round, in which each runs its usual number of cases. */
  readonly timeMs: number | null
  readonly seed: number
  /** The file that runs one harness by its name. */
  readonly main: string
  readonly signal: AbortSignal
  readonly onProgress: (line: string) => void
}

/** The counts of all rounds of a harness. */
export interface AllReport extends SoakReport {
  readonly rounds: number
  /** Why it did not run. */
  readonly skipped: string | null
}

const ROUND_MS = 600_000
/** What a harness may take beyond its time before it counts as hung: it builds things first, and checks them last. */
const OVERTIME_MS = 900_000
/** What it may take to end when it is asked to. */
const ENDS_WITHIN_MS = 60_000
const VIOLATIONS_MAX = 20

type Counts = Omit<SoakReport, 'harness' | 'seed' | 'violations'>

const NOTHING: Counts = {
  tried: 0,
  acknowledged: 0,
  lost: 0,
  invented: 0,
  wrong: 0,
  hung: 0,
  crashed: 0,
  undetected: 0,
  elapsedMs: 0,
}

export async function allSoaks(options: AllOptions): Promise<readonly AllReport[]> {
  const { harnesses, timeMs, seed, signal, onProgress } = options
  const startedAt = systemClock.monotonic()
  const rounds = timeMs === null ? 1 : Math.max(1, Math.round(timeMs / ROUND_MS))
  const reports = new Map(harnesses.map((each) => [each, emptyReport(each, seed)]))
  const able = harnesses.filter(({ lack }) => lack === null)
  const queue = Array.from({ length: rounds }, () => able).flat()
  for (const [index, harness] of queue.entries()) {
    if (signal.aborted) break
    const before = reports.get(harness) ?? emptyReport(harness, seed)
    const passedMs = systemClock.monotonic() - startedAt
    const slotMs = timeMs === null ? null : slotOf(timeMs - passedMs, queue.slice(index))
    const report = await runApart(options, harness, seed + before.tried, slotMs)
    if (report === null) continue
    reports.set(harness, added(before, report))
    const round = Math.floor(index / able.length) + 1
    const { tried, violations } = report
    onProgress(
      `round ${round} of ${rounds}, ${harness.name}: ${tried} cases, ${violations.length} broken`,
    )
  }
  return [...reports.values()]
}

/** What the first of the harnesses that are to come has of the time that is left. */
export function slotOf(leftMs: number, queue: readonly Pick<AllHarness, 'share'>[]): number {
  const all = queue.reduce((sum, { share }) => sum + share, 0)
  return Math.max(1, (leftMs * (queue[0]?.share ?? 0)) / all)
}

/** The counts together; `violations` up to as many as are read. */
export function added(before: AllReport, report: SoakReport): AllReport {
  const sums = Object.fromEntries(
    Object.keys(NOTHING).map((key) => [
      key,
      before[key as keyof Counts] + report[key as keyof Counts],
    ]),
  ) as unknown as Counts
  const violations = [...before.violations, ...report.violations].slice(0, VIOLATIONS_MAX)
  return { ...before, ...sums, violations, rounds: before.rounds + 1 }
}

function emptyReport({ name, lack }: AllHarness, seed: number): AllReport {
  return { harness: name, seed, ...NOTHING, violations: [], rounds: 0, skipped: lack }
}

/** Null: it was stopped before it had anything to say. */
async function runApart(
  { main, signal }: AllOptions,
  { name, options }: AllHarness,
  seed: number,
  timeMs: number | null,
): Promise<SoakReport | null> {
  const time = timeMs === null ? [] : ['--minutes', String(timeMs / 60_000)]
  const given = [name, ...time, '--seed', String(seed), ...options]
  // In a group of its own, so that a signal of the terminal does not reach what it started.
  const child = spawn(execPath, [...execArgv, main, ...given], {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const timers: Timer[] = []
  let isHung = false
  if (timeMs !== null)
    timers.push(
      systemClock.setTimer(timeMs + OVERTIME_MS, () => {
        isHung = true
        killGroup(child)
      }),
    )
  const onAbort = (): void => {
    child.kill('SIGTERM')
    timers.push(systemClock.setTimer(ENDS_WITHIN_MS, () => killGroup(child)))
  }
  const atExit = (): void => killGroup(child)
  process.once('exit', atExit)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    const [output, status] = await Promise.all([text(child.stdout), ended(child)])
    const report = parseReport(output)
    if (report !== null) return report
    if (signal.aborted) return null
    const rerun = `npm run soak -- ${given.join(' ')}`
    const what = isHung
      ? `it was not over ${OVERTIME_MS} ms after its time`
      : `it ended with ${status}`
    const violation: Violation = { invariant: 'I12', seed, rerun, what }
    const harm = isHung ? { hung: 1 } : { crashed: 1 }
    return { harness: name, seed, ...NOTHING, ...harm, violations: [violation] }
  } finally {
    for (const timer of timers) timer.cancel()
    signal.removeEventListener('abort', onAbort)
    process.off('exit', atExit)
    // Whatever it started and did not end.
    killGroup(child)
  }
}

function ended(child: ChildProcess): Promise<number | NodeJS.Signals | null> {
  return new Promise((resolve) => {
    child.once('close', (status, signal) => resolve(status ?? signal))
  })
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // Nobody is left.
  }
}

/** The last line; null where it is none of a harness. */
function parseReport(output: string): SoakReport | null {
  try {
    return JSON.parse(output.trimEnd().split('\n').at(-1) ?? '') as SoakReport
  } catch {
    return null
  }
}
