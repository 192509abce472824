/** A client of a real server over a network that loses answers, cuts them short and delivers requests late. */
import { connect as connectSocket, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { randomFraction, seededRandom } from '../../src/base/random.ts'
import { connect } from '../../src/client/index.ts'
import { runJson } from '../support/cli.ts'
import { eventually } from '../support/eventually.ts'
import { expectError } from '../support/expect-error.ts'
import { TestServer } from '../support/server.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { type Toxic, startToxicProxy } from '../support/toxic-proxy.ts'

async function serve(...args: string[]): Promise<TestServer> {
  const server = await TestServer.start(args)
  onTestFinished(async () => void (await server.stop()))
  return server
}

describe('over a network that misbehaves', () => {
  test('every append is there once, in order, and where it was said to be', async () => {
    const server = await serve()
    await using proxy = await startToxicProxy(server.url)
    const random = seededRandom(3)
    const toxics: readonly Toxic[] = [
      { kind: 'reply-lost' },
      { kind: 'error-before' },
      { kind: 'late', afterMs: 30 },
      { kind: 'truncated' },
    ]
    const db = await connect(proxy.endpoint)
    const log = await db.createLog('l', { partitions: 2, keyColumn: 'key' })
    proxy.script = () =>
      randomFraction(random) < 0.3 ? (toxics[random.uint32() % toxics.length] ?? null) : null
    const acknowledged: { key: string; n: number; partition: number; offset: number }[] = []
    const failed: number[] = []
    for (let round = 0; round < 40; round++) {
      const appends = Array.from({ length: 5 }, async (_, index) => {
        const n = round * 5 + index
        const key = `key-${n % 3}`
        try {
          const { partition, offset } = await log.append({ key, n })
          acknowledged.push({ key, n, partition, offset })
        } catch {
          failed.push(n)
        }
      })
      await Promise.all(appends)
    }
    proxy.script = () => null
    await proxy.settle()
    expect(proxy.counts.poisoned).toBeGreaterThan(20)
    const rows = await log.read().toArray()
    const numbers = rows.map(({ n }) => Number(n))
    expect(new Set(numbers).size, 'no record twice').toBe(numbers.length)
    const found = new Map(rows.map((row) => [Number(row['n']), row]))
    for (const { key, n, partition, offset } of acknowledged)
      expect(found.get(n)).toMatchObject({ key, n, _partition: partition, _offset: offset })
    const known = new Set([...acknowledged.map(({ n }) => n), ...failed])
    expect(numbers.filter((n) => !known.has(n))).toEqual([])
    for (const key of ['key-0', 'key-1', 'key-2']) {
      const inOrder = acknowledged.filter((one) => one.key === key).toSorted((a, b) => a.n - b.n)
      const offsets = inOrder.map(({ offset }) => offset)
      expect(offsets).toEqual(offsets.toSorted((a, b) => a - b))
    }
  })

  test('a read that is cut again and again gives every record once', async () => {
    const server = await serve()
    const db = await connect(server.url)
    const log = await db.createLog('l', { partitions: 3 })
    for (let n = 0; n < 30; n++) {
      const rows = Array.from({ length: 2_000 }, (_, row) => ({
        n: n * 2_000 + row,
        text: 'x'.repeat(50),
      }))
      await log.append(rows)
    }
    await using proxy = await startToxicProxy(server.url)
    const unsteady = await connect(proxy.endpoint)
    let cuts = 0
    // Three of four answers end half way.
    proxy.script = () => (cuts++ % 4 === 3 ? null : { kind: 'truncated' })
    const rows = await unsteady
      .log('l')
      .read({ columns: ['n', '_partition', '_offset'] })
      .toArray()
    expect(rows).toHaveLength(60_000)
    expect(new Set(rows.map(({ n }) => n)).size).toBe(60_000)
    const some = await unsteady
      .log('l')
      .read({ limit: 25_000, columns: ['n'] })
      .toArray()
    expect(some).toEqual(rows.slice(0, 25_000).map(({ n }) => ({ n })))
    const newest = { last: 15_000, partition: 1, columns: ['n'] }
    expect(await unsteady.log('l').read(newest).toArray()).toEqual(
      await db.log('l').read(newest).toArray(),
    )
    expect(cuts).toBeGreaterThan(8)
  })

  test('a reader that follows a log goes on when the server has been away', async () => {
    const dataDir = join(await temporaryDirectory(), 'data')
    const args = ['--data-dir', dataDir]
    const first = await TestServer.start(args)
    const port = await Relay.start(first.url)
    onTestFinished(() => port.stop())
    const db = await connect(port.url, { retries: 1_000 })
    const log = await db.createLog('l')
    const controller = new AbortController()
    const seen: unknown[] = []
    const reading = (async () => {
      for await (const { n } of log.read({ live: true, signal: controller.signal }).rows())
        seen.push(n)
    })()
    await log.append({ n: 0 })
    await eventually(() => expect(seen).toEqual([0]))
    await first.stop()
    // Appended while nobody answers; it waits for the server that comes.
    const appended = log.append({ n: 1 })
    const second = await serve(...args)
    port.target = second.url
    await appended
    await log.append({ n: 2 })
    await eventually(() => expect(seen).toEqual([0, 1, 2]))
    controller.abort()
    await expectError(reading, 'aborted')
  })

  test('a token that may only append is enough to append, and no more', async () => {
    const tokens = ['--tokens', join(await temporaryDirectory(), 'tokens.json')]
    const make = (name: string, scopes: string): Promise<{ readonly token: string }> =>
      runJson(['token', 'create', ...tokens, '--name', name, '--scopes', scopes])
    const [admin, sender] = [await make('admin', 'admin'), await make('sender', 'append')]
    const server = await serve(...tokens)
    const owner = await connect(server.url, admin)
    await owner.createLog('l', { partitions: 2, keyColumn: 'id' })
    const db = await connect(server.url, sender)
    const { partition } = await db.log('l').append({ id: 'a' })
    expect(await db.log('l').append({ id: 'a' })).toMatchObject({ partition, offset: 1 })
    const error = await expectError(db.log('l').read().toArray(), 'argument_invalid')
    expect(error.details).toMatchObject({ problem: 'scope_missing', status: 403 })
  })

  test('a server that is not there is named, and an attempt to reach it can be given up', async () => {
    await expectError(connect('http://127.0.0.1:9', { retries: 1 }), 'server_unavailable')
    const aborting = new AbortController()
    const connecting = connect('http://127.0.0.1:9', { retries: 1_000, signal: aborting.signal })
    aborting.abort()
    await expectError(connecting, 'aborted')
  })
})

/** One address for a server that comes again on another port. */
class Relay {
  target: string
  readonly url: string
  readonly #server: Server

  private constructor(server: Server, url: string, target: string) {
    this.#server = server
    this.url = url
    this.target = target
  }

  static start(target: string): Promise<Relay> {
    return new Promise((resolve) => {
      const server = createServer((incoming) => {
        const { hostname, port } = new URL(relay.target)
        const outgoing = connectSocket(Number(port), hostname)
        incoming.on('error', () => outgoing.destroy())
        outgoing.on('error', () => incoming.destroy())
        incoming.on('close', () => outgoing.destroy())
        outgoing.on('close', () => incoming.destroy())
        incoming.pipe(outgoing).pipe(incoming)
      })
      let relay: Relay
      server.listen(0, '127.0.0.1', () => {
        const address = server.address()
        const port = typeof address === 'object' ? (address?.port ?? 0) : 0
        relay = new Relay(server, `http://127.0.0.1:${port}`, target)
        resolve(relay)
      })
    })
  }

  stop(): void {
    this.#server.close()
  }
}
