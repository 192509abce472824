/** A server from its spawn to its first acknowledged append: ours as it is built, and a bare one of `node:http`. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { BenchmarkCase, Contender } from './harness.ts'
import { RawConnection, requestBytes } from './http-client.ts'

const repositoryRoot = join(import.meta.dirname, '..')

/** Keeps what it gets, and says where. */
const BARE = `
  import { createServer } from 'node:http'
  const records = []
  const server = createServer((request, response) => {
    const chunks = []
    request.on('data', (chunk) => chunks.push(chunk))
    request.on('end', () => {
      records.push(JSON.parse(Buffer.concat(chunks).toString()))
      const answer = JSON.stringify({ partition: 0, offset: records.length - 1, count: 1 })
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': answer.length })
      response.end(answer)
    })
  })
  server.listen(0, '127.0.0.1', () => {
    process.stdout.write(JSON.stringify({ url: 'http://127.0.0.1:' + server.address().port }) + '\\n')
  })`

const RECORD = '{"id":1,"event":"view"}'

/** The server in `built`, beside its packages. Its first start, which keeps what V8 compiled, does not count. */
export async function serverStart(built: string, starts: number): Promise<BenchmarkCase> {
  await copyFile(join(repositoryRoot, 'package.json'), join(built, '../package.json'))
  const flags = ['--memory-only', '--port', '0', '--log-level', 'silent']
  const ours = [join(built, 'cli/main.js'), 'serve', ...flags]
  await startedIn(ours, true)
  const name = 'bare node:http'
  return {
    name: 'a server in memory, to its first acknowledged append',
    unit: 'ms',
    higherIsBetter: false,
    targets: { [name]: { floor: 2 / 3, goal: 3 / 4 } },
    checksum: '1',
    ours: fastest('ours', starts, ours, true),
    peers: [],
    limit: fastest(name, starts, ['--input-type=module', '-e', BARE], false),
    missing: [],
  }
}

function fastest(
  name: string,
  starts: number,
  args: readonly string[],
  isOurs: boolean,
): Contender {
  return {
    name,
    async measure() {
      let best = Infinity
      let checksum: string | null = null
      for (let start = 0; start < starts; start++) {
        const { ms, id } = await startedIn(args, isOurs)
        best = Math.min(best, ms)
        checksum = id
      }
      return { value: best, checksum }
    },
  }
}

/** How long it took, and what ours read back. @throws when an append is not acknowledged. */
async function startedIn(
  args: readonly string[],
  isOurs: boolean,
): Promise<{ readonly ms: number; readonly id: string | null }> {
  const begun = performance.now()
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'close')
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const { url } = JSON.parse(line) as { readonly url: string }
      using connection = await RawConnection.open(Number(new URL(url).port))
      const post = (path: string, body: string): Promise<void> =>
        connection.send(requestBytes('POST', path, body, { 'content-type': 'application/json' }))
      if (isOurs) await post('/v1/logs', '{"name":"events"}')
      await post('/v1/logs/events/records', RECORD)
      const ms = performance.now() - begun
      if (!isOurs) return { ms, id: null }
      const record = (await (await fetch(`${url}/v1/logs/events/records`)).json()) as { id: number }
      return { ms, id: String(record.id) }
    }
  } finally {
    child.stdout.resume()
    child.kill('SIGTERM')
    await ended
  }
  throw new Error(`${args.join(' ')} ended before it listened`)
}
