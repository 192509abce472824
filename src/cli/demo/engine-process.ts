/** The engine process of the demo, seen from the demo: calls, acknowledgements, and the kill. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import process from 'node:process'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { assert } from '../../base/assert.ts'
import { StratalogError } from '../../base/errors.ts'
import type { AnswerLine, CallName, Calls } from './protocol.ts'

interface Waiting {
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: Error) => void
}

export class EngineProcess {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>
  readonly #exited: Promise<unknown>
  readonly #outputClosed: Promise<unknown>
  #waiting: Waiting | null = null
  #hasExited = false
  #acked = 0
  #onAck: ((acked: number) => void) | null = null

  constructor() {
    // From source the entry is TypeScript, from the package JavaScript.
    const entry = fileURLToPath(
      new URL(`./engine-child${import.meta.url.slice(-3)}`, import.meta.url),
    )
    this.#child = spawn(process.execPath, [entry], { stdio: ['pipe', 'pipe', 'inherit'] })
    // A write to a process that was killed fails; the exit is what is told.
    this.#child.stdin.on('error', () => {})
    this.#exited = once(this.#child, 'exit').then(() => {
      this.#hasExited = true
      this.#waiting?.reject(
        new StratalogError('internal', 'The engine process of the demo ended unexpectedly.'),
      )
      this.#waiting = null
    })
    this.#outputClosed = once(this.#child.stdout, 'close')
    createInterface({ input: this.#child.stdout }).on('line', (line) =>
      this.#receive(JSON.parse(line) as AnswerLine),
    )
  }

  /** All records below this number are acknowledged, as far as the process could tell. */
  get acked(): number {
    return this.#acked
  }

  call<Name extends CallName>(
    name: Name,
    request: Calls[Name]['request'],
  ): Promise<Calls[Name]['answer']> {
    assert(this.#waiting === null, 'one request at a time')
    if (this.#hasExited)
      return Promise.reject(
        new StratalogError('internal', 'The engine process of the demo is gone.'),
      )
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve: (answer) => resolve(answer as Calls[Name]['answer']), reject }
      this.#child.stdin.write(`${JSON.stringify({ call: name, request })}\n`)
    })
  }

  /** Sees every acknowledgement as it comes. */
  onAck(seen: (acked: number) => void): void {
    this.#onAck = seen
  }

  /** SIGKILL: nothing of the process gets to run any more. What it wrote to its pipe before is still read. */
  async kill(): Promise<void> {
    if (!this.#hasExited) this.#child.kill('SIGKILL')
    await this.#exited
    await this.#outputClosed
  }

  /** Lets the process end by itself. */
  async end(): Promise<void> {
    this.#child.stdin.end()
    await this.#exited
  }

  #receive(line: AnswerLine): void {
    if (line.kind === 'acked') {
      this.#acked = Math.max(this.#acked, line.acked)
      this.#onAck?.(line.acked)
      return
    }
    const waiting = this.#waiting
    this.#waiting = null
    if (line.kind === 'answer') waiting?.resolve(line.answer)
    else
      waiting?.reject(
        new StratalogError('internal', `${line.code}: ${line.message}`, {
          details: { code: line.code },
        }),
      )
  }
}
