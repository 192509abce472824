/**
 * Standard output, standard error and what is known of them. Results go out by `write`; everything else is a note.
 *
 * When the reader of standard output goes away (`| head`), `outputClosed` becomes true, writes do nothing and
 * `onOutputClosed` is called once: a command then stops early and the process ends quietly with status 0.
 */
import type { styleText } from 'node:util'

export type Style = Parameters<typeof styleText>[0]

export interface Terminal {
  readonly outputClosed: boolean
  /** Whether people look at standard output, and at standard error. */
  readonly outputIsTerminal: boolean
  readonly notesAreSeen: boolean
  /** Whether somebody can be asked. */
  readonly isInteractive: boolean
  /** Columns of the terminal that shows standard error; 80 in a pipe. */
  readonly width: number
  /** Resolves when the system has taken the bytes. */
  write(chunk: string | Uint8Array): Promise<void>
  /** One line on standard error. */
  note(line: string): void
  /** Raw text on standard error; for the line of a progress display. */
  noteRaw(text: string): void
  /** Asks on standard error, and gives the line that is typed; empty where the input ends. */
  ask(question: string, signal: AbortSignal): Promise<string>
  /** Text in a style, where the stream shows colours; colours of the terminal's own palette only. */
  style(format: Style, text: string, stream?: 'output' | 'notes'): string
}

export class ProcessTerminal implements Terminal {
  #outputClosed = false
  readonly #onOutputClosed: () => void

  constructor(onOutputClosed: () => void) {
    this.#onOutputClosed = onOutputClosed
    process.stdout.on('error', (error: NodeJS.ErrnoException) => this.#onError(error))
    // Nobody is left to tell when standard error is gone.
    process.stderr.on('error', () => {})
  }

  get outputClosed(): boolean {
    return this.#outputClosed
  }

  get outputIsTerminal(): boolean {
    return process.stdout.isTTY
  }

  get notesAreSeen(): boolean {
    return process.stderr.isTTY
  }

  get isInteractive(): boolean {
    return process.stdin.isTTY && process.stderr.isTTY
  }

  get width(): number {
    return process.stderr.columns ?? 80
  }

  write(chunk: string | Uint8Array): Promise<void> {
    if (this.#outputClosed || chunk.length === 0) return Promise.resolve()
    return new Promise((resolve, reject) => {
      process.stdout.write(chunk, (error) => {
        if (error === null || error === undefined) resolve()
        else if (this.#onError(error)) resolve()
        else reject(error)
      })
    })
  }

  note(line: string): void {
    this.noteRaw(`${line}\n`)
  }

  noteRaw(text: string): void {
    process.stderr.write(text)
  }

  async ask(question: string, signal: AbortSignal): Promise<string> {
    const { createInterface } = await import('node:readline')
    const lines = createInterface({ input: process.stdin, output: process.stderr })
    const answer = Promise.withResolvers<string>()
    const end = (): void => answer.resolve('')
    signal.addEventListener('abort', end)
    lines.on('SIGINT', end)
    lines.on('close', end)
    lines.question(question, answer.resolve)
    try {
      return await answer.promise
    } finally {
      signal.removeEventListener('abort', end)
      lines.close()
    }
  }

  style(format: Style, text: string, stream: 'output' | 'notes' = 'notes'): string {
    const target = stream === 'output' ? process.stdout : process.stderr
    return process.getBuiltinModule('node:util').styleText(format, text, { stream: target })
  }

  /** Whether the error only means that nobody reads any more. */
  #onError(error: NodeJS.ErrnoException): boolean {
    if (error.code !== 'EPIPE' && error.code !== 'ERR_STREAM_DESTROYED') return false
    if (!this.#outputClosed) {
      this.#outputClosed = true
      this.#onOutputClosed()
    }
    return true
  }
}
