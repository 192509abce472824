/**
 * Redis Streams as peers: a private server without persistence on a Unix socket, XADD pipelined, by the client library
 * that people use, and by commands that the benchmark encodes itself, which is as fast as a server can be driven. It is
 * a child of the benchmark and ends with the measurement.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createClient } from '@redis/client'
import type { AppendLoad } from './append-load.ts'
import { secondsOf, type Contender } from './harness.ts'
import { Checksum, type BenchRecord } from './records.ts'
import { RespConnection, encodeCommand } from './resp.ts'
import { makeTempDirectory } from './temp-directory.ts'

export const REDIS_STREAMS: string = 'Redis Streams pipelined'
export const REDIS_STREAMS_RAW: string = 'Redis Streams, commands encoded by hand'
/** Writes on their way: the server works on one while the next is made. */
const WRITES_IN_FLIGHT = 4
const READ_RECORDS = 500
const STREAM = 'events'

/** The peer where `redis-server` is installed; else why there is none. */
export function redisPeers(load: AppendLoad): {
  readonly peers: readonly Contender[]
  readonly missing: readonly string[]
} {
  const found = spawnSync('redis-server', ['--version'], { stdio: 'ignore' }).status === 0
  return found
    ? {
        peers: [
          redisPeer(REDIS_STREAMS, load, appendByClient),
          redisPeer(REDIS_STREAMS_RAW, load, appendByHand),
        ],
        missing: [],
      }
    : { peers: [], missing: [`${REDIS_STREAMS}: redis-server is not installed`] }
}

function redisPeer(
  name: string,
  load: AppendLoad,
  append: (socket: string, load: AppendLoad) => Promise<number>,
): Contender {
  return {
    name,
    async measure() {
      await using directory = await makeTempDirectory()
      const socket = join(directory.path, 'redis.sock')
      const server = await startServer(directory.path, socket)
      try {
        const seconds = await append(socket, load)
        const connection = await RespConnection.open(socket)
        const checksum = await readBack(connection)
        connection.close()
        return { value: load.count / seconds, checksum }
      } finally {
        await stopServer(server)
      }
    },
  }
}

/** A pipeline of its own for each batch: the fastest of the ways that the library has. Returns the seconds it took. */
async function appendByClient(socket: string, load: AppendLoad): Promise<number> {
  const client = createClient({ socket: { path: socket, tls: false } })
  await client.connect()
  const seconds = await secondsOf(async () => {
    for (const batch of load.batches) {
      const commands = client.multi()
      for (const { ts, key, amount, price, event, text } of batch) {
        const message = { ts: `${ts}`, key, amount: `${amount}`, price: `${price}`, event, text }
        commands.xAdd(STREAM, '*', message)
      }
      await commands.execAsPipeline()
    }
  })
  await client.close()
  return seconds
}

async function appendByHand(socket: string, load: AppendLoad): Promise<number> {
  const connection = await RespConnection.open(socket)
  const seconds = await secondsOf(() => appendAll(connection, load))
  connection.close()
  return seconds
}

/** One write a batch, each command with its reply. */
async function appendAll(connection: RespConnection, load: AppendLoad): Promise<void> {
  const pending: Promise<void>[] = []
  for (const batch of load.batches) {
    let commands = ''
    for (const record of batch) commands += encodeRecord(record)
    pending.push(connection.send(commands, batch.length))
    if (pending.length >= WRITES_IN_FLIGHT) await pending.shift()
  }
  await Promise.all(pending)
}

const XADD_HEAD = `*15\r\n${encodeWords('XADD', STREAM, '*')}`

function encodeRecord({ ts, key, amount, price, event, text }: BenchRecord): string {
  const fields = encodeWords('ts', `${ts}`, 'key', key, 'amount', `${amount}`, 'price', `${price}`)
  return XADD_HEAD + fields + encodeWords('event', event, 'text', text)
}

function encodeWords(...words: readonly string[]): string {
  const whole = encodeCommand(words)
  return whole.slice(whole.indexOf('\n') + 1)
}

async function readBack(connection: RespConnection): Promise<string> {
  const checksum = new Checksum()
  let from = '-'
  for (;;) {
    const reply = await connection.call('XRANGE', STREAM, from, '+', 'COUNT', String(READ_RECORDS))
    const entries = reply as readonly (readonly [id: string, fields: readonly string[]])[]
    for (const [, fields] of entries) checksum.add(recordOf(fields))
    const last = entries.at(-1)
    if (last === undefined || entries.length < READ_RECORDS) return checksum.value()
    from = `(${last[0]}`
  }
}

/** Names and values take turns, in the order they were added in. */
function recordOf(fields: readonly string[]): BenchRecord {
  const value = (index: number): string => fields[index * 2 + 1] ?? ''
  return {
    ts: Number(value(0)),
    key: value(1),
    amount: Number(value(2)),
    price: Number(value(3)),
    event: value(4),
    text: value(5),
  }
}

async function startServer(directory: string, socket: string): Promise<ChildProcess> {
  const options = ['--port', '0', '--unixsocket', socket, '--unixsocketperm', '700', '--dir']
  const unsaved = ['--save', '', '--appendonly', 'no', '--daemonize', 'no']
  const server = spawn('redis-server', [...options, directory, ...unsaved], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  for await (const line of server.stdout.iterator({ destroyOnReturn: false })) {
    if (String(line).includes('accept connections')) {
      server.stdout.resume()
      return server
    }
  }
  throw new Error('redis-server ended before it was ready.')
}

async function stopServer(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null) return
  const closed = once(server, 'close')
  server.kill('SIGKILL')
  await closed
}
