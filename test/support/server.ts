/** A real `stratalog serve` as a child process, for tests that talk to it over a socket. */
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { spawnCli } from './cli.ts'

export interface ServeEnd {
  readonly status: number | null
  readonly stderr: string
}

export class TestServer {
  readonly url: string
  readonly pid: number
  readonly #child: ChildProcessWithoutNullStreams
  readonly #ended: Promise<ServeEnd>
  #stderr = ''

  private constructor(
    child: ChildProcessWithoutNullStreams,
    line: { readonly url: string; readonly pid: number },
    ended: Promise<ServeEnd>,
  ) {
    this.#child = child
    this.url = line.url
    this.pid = line.pid
    this.#ended = ended
    child.stderr.on('data', (chunk: Buffer) => {
      this.#stderr += chunk.toString()
    })
  }

  /** What it said on standard error since it listens. */
  get stderr(): string {
    return this.#stderr
  }

  /** Resolves once the server says that it listens. @throws when it ends before. */
  static start(
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<TestServer> {
    const child = spawnCli(['serve', '--port', '0', ...args], { env })
    child.stdin.end()
    let stdout = ''
    let stderr = ''
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString()
    })
    const ended = new Promise<ServeEnd>((resolve) => {
      child.on('close', (status) => resolve({ status, stderr }))
    })
    return new Promise((resolve, reject) => {
      child.stdout.on('data', (chunk: Buffer) => {
        stdout += chunk.toString()
        if (!stdout.includes('\n')) return
        const line = JSON.parse(stdout) as { event: string; url: string; pid: number }
        if (line.event === 'listening') resolve(new TestServer(child, line, ended))
        else reject(new Error(`serve said ${stdout}`))
      })
      void ended.then(({ status }) =>
        reject(new Error(`serve ended with ${status} before it listened: ${stderr}`)),
      )
    })
  }

  fetch(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(`${this.url}${path}`, init)
  }

  async json<T>(path: string, init: RequestInit = {}): Promise<T> {
    return (await (await this.fetch(path, init)).json()) as T
  }

  /** Asks it to end, and resolves when it has. */
  stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<ServeEnd> {
    this.#child.kill(signal)
    return this.#ended
  }
}
