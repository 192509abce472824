/** Servers as processes of their own: ours as a user starts it, and what it is compared with. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { join } from 'node:path'

const repositoryRoot = join(import.meta.dirname, '..')

export interface ServerProcess extends AsyncDisposable {
  readonly port: number
}

export function startOurs(args: readonly string[] = []): Promise<ServerProcess> {
  return start(['src/cli/main.ts', 'serve', '--port', '0', '--log-level', 'silent', ...args])
}

/** `discard` takes what it gets and answers; `send` answers with a file. */
export function startBare(what: 'discard' | 'send', file = ''): Promise<ServerProcess> {
  return start(['bench/http-limits-child.ts', what, ...(file === '' ? [] : [file])])
}

/** The protocol's reference server, in memory. */
export function startReference(): Promise<ServerProcess> {
  return start(['bench/streams-reference-child.ts'])
}

/** CPU time that the server has used, in seconds: of all its threads. */
export async function cpuSeconds({ port }: ServerProcess): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  const found = /^stratalog_process_cpu_seconds_total (\S+)/m.exec(text)
  if (found === null) throw new Error('the server does not say what CPU time it used')
  return Number(found[1])
}

/** The first line of its output says where it listens: `port`, or `url`. */
async function start(args: readonly string[]): Promise<ServerProcess> {
  const child = spawn(process.execPath, [...args], {
    cwd: repositoryRoot,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  for await (const line of createInterface({ input: child.stdout })) {
    const said = JSON.parse(line) as { readonly port?: number; readonly url?: string }
    const port = said.port ?? Number(new URL(said.url ?? '').port)
    child.stdout.resume()
    return {
      port,
      [Symbol.asyncDispose]: async () => {
        child.kill('SIGTERM')
        await ended
      },
    }
  }
  throw new Error(`${args.join(' ')} ended before it listened`)
}
