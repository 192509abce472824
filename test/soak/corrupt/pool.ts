/**
 * Runs cases in child processes, two at a time, each with a watchdog and a bounded heap. A child that hangs or dies is
 * replaced; a process per case would cost more than the case.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { systemClock } from '../../../src/base/clock.ts'
import { programAt } from '../../support/program.ts'
import type { Observation } from './observe.ts'

const CHILD = programAt('test/soak/corrupt/corrupt-child.ts')
/** A case takes some ten ms; this is for a machine that does much else. */
const CASE_MS_MAX = 30_000
const HEAP_MB = 256
/** What a child keeps from its cases must not add up. */
const CASES_PER_CHILD = 1_000

export type Outcome =
  | { readonly kind: 'seen'; readonly observation: Observation }
  | { readonly kind: 'hung' }
  | { readonly kind: 'crashed'; readonly reason: string }

export interface PoolOptions {
  /** Where the fixture lies, and where the children work. */
  readonly root: string
  readonly scratch: string
  readonly processes: number
  readonly onOutcome: (seed: number, outcome: Outcome) => void
}

/** Runs every seed once. */
export async function runPool(seeds: Iterable<number>, options: PoolOptions): Promise<void> {
  const queue = seeds[Symbol.iterator]()
  await Promise.all(
    Array.from({ length: options.processes }, (_, index) => new Lane(index, options).run(queue)),
  )
}

class Lane {
  readonly #options: PoolOptions
  readonly #scratch: string
  #child: ChildProcess | null = null
  #stderr = ''
  #cases = 0

  constructor(index: number, options: PoolOptions) {
    this.#options = options
    this.#scratch = `${options.scratch}/${index}`
  }

  async run(queue: Iterator<number>): Promise<void> {
    for (let next = queue.next(); next.done !== true; next = queue.next()) {
      if (this.#cases >= CASES_PER_CHILD) await this.#stop()
      this.#options.onOutcome(next.value, await this.#case(next.value))
    }
    await this.#stop()
  }

  async #case(seed: number): Promise<Outcome> {
    const child = this.#child ?? (await this.#start())
    this.#cases++
    const outcome = await new Promise<Outcome>((resolve) => {
      const watchdog = systemClock.setTimer(CASE_MS_MAX, () => resolve({ kind: 'hung' }))
      const settle = (result: Outcome): void => {
        watchdog.cancel()
        child.off('message', onMessage)
        child.off('exit', onExit)
        resolve(result)
      }
      const onMessage = (observation: Observation): void => settle({ kind: 'seen', observation })
      const onExit = (code: number | null, signal: string | null): void =>
        settle({ kind: 'crashed', reason: `ended with ${code ?? signal ?? ''}: ${this.#stderr}` })
      child.on('message', onMessage)
      child.on('exit', onExit)
      child.send(seed)
    })
    if (outcome.kind !== 'seen') await this.#stop()
    return outcome
  }

  async #start(): Promise<ChildProcess> {
    const child = fork(CHILD, [this.#options.root, this.#scratch], {
      execArgv: [`--max-old-space-size=${HEAP_MB}`],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    this.#child = child
    this.#stderr = ''
    this.#cases = 0
    child.stderr?.on('data', (chunk: Buffer) => {
      this.#stderr = `${this.#stderr}${chunk.toString()}`.slice(-2_000)
    })
    await new Promise<void>((resolve, reject) => {
      child.once('message', () => resolve())
      child.once('exit', () => reject(new Error(`the child did not start: ${this.#stderr}`)))
    })
    return child
  }

  async #stop(): Promise<void> {
    const child = this.#child
    this.#child = null
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await ended
  }
}
