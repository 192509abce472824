/**
 * Redis Streams as peers: a private server on a Unix socket, XADD pipelined, by the client library that people use, and
 * by commands that the benchmark encodes itself, which is as fast as a server can be driven. It is a child of the
 * benchmark and ends with the measurement.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createClient } from '@redis/client'
import { type AppendLoad, byWaiters, inTurns } from './append-load.ts'
import { secondsOf, type Contender, type Sample } from './harness.ts'
import { Checksum, type BenchRecord } from './records.ts'
import { RespConnection, encodeCommand } from './resp.ts'
import { makeTempDirectory } from './temp-directory.ts'

export const REDIS_STREAMS: string = 'Redis Streams pipelined'
export const REDIS_STREAMS_RAW: string = 'Redis Streams, commands encoded by hand'
export const REDIS_ALWAYS: string = 'Redis Streams, appendfsync always'
/** Writes on their way: the server works on one while the next is made. */
const WRITES_IN_FLIGHT = 4
const READ_RECORDS = 500
const STREAM = 'events'

const UNSAVED = ['--appendonly', 'no']
const SYNCED = ['--appendonly', 'yes', '--appendfsync', 'always']

export interface RedisPeers {
  readonly peers: readonly Contender[]
  readonly missing: readonly string[]
}

/** Without persistence, in pipelines. */
export function redisPeers(load: AppendLoad): RedisPeers {
  return whereInstalled(REDIS_STREAMS, () => [
    redisPeer(REDIS_STREAMS, load, UNSAVED, appendByClient),
    redisPeer(REDIS_STREAMS_RAW, load, UNSAVED, (socket) =>
      appendByHand(socket, load, WRITES_IN_FLIGHT),
    ),
  ])
}

/** Each command is synced before its reply; `inFlight` batches are on their way, encoded by hand. */
export function redisDurablePeers(load: AppendLoad, inFlight: number): RedisPeers {
  return whereInstalled(REDIS_ALWAYS, () => [
    redisPeer(REDIS_ALWAYS, load, SYNCED, (socket) => appendByHand(socket, load, inFlight)),
  ])
}

/** So many callers, each of whom waits for its own record before it sends the next; the library puts them together. */
export function redisWaitersPeers(load: AppendLoad, waiters: number): RedisPeers {
  return whereInstalled(REDIS_ALWAYS, () => [
    redisPeer(REDIS_ALWAYS, load, SYNCED, (socket) => appendByWaiters(socket, load, waiters)),
  ])
}

/** 1000 records as one text, a field of one entry. */
export function redisOpaquePeers(load: AppendLoad, inFlight: number): RedisPeers {
  const name = `${REDIS_ALWAYS}, a batch as one value`
  return whereInstalled(name, () => [
    {
      name,
      measure: () =>
        withServer(SYNCED, async (socket) => {
          const connection = await RespConnection.open(socket)
          const seconds = await secondsOf(() =>
            inTurns(load.batches, inFlight, (batch) =>
              connection.send(encodeCommand(['XADD', STREAM, '*', 'v', JSON.stringify(batch)]), 1),
            ),
          )
          const checksum = new Checksum()
          for await (const [value = ''] of entriesOf(connection))
            for (const record of JSON.parse(value) as BenchRecord[]) checksum.add(record)
          connection.close()
          return { value: load.count / seconds, checksum: checksum.value() }
        }),
    },
  ])
}

function whereInstalled(name: string, peers: () => readonly Contender[]): RedisPeers {
  const found = spawnSync('redis-server', ['--version'], { stdio: 'ignore' }).status === 0
  return found
    ? { peers: peers(), missing: [] }
    : { peers: [], missing: [`${name}: redis-server is not installed`] }
}

/** `append` returns the seconds it took. */
function redisPeer(
  name: string,
  load: AppendLoad,
  persistence: readonly string[],
  append: (socket: string, load: AppendLoad) => Promise<number>,
): Contender {
  return {
    name,
    measure: () =>
      withServer(persistence, async (socket) => {
        const seconds = await append(socket, load)
        const connection = await RespConnection.open(socket)
        const checksum = await readBack(connection)
        connection.close()
        return { value: load.count / seconds, checksum }
      }),
  }
}

async function withServer(
  persistence: readonly string[],
  use: (socket: string) => Promise<Sample>,
): Promise<Sample> {
  await using directory = await makeTempDirectory()
  const socket = join(directory.path, 'redis.sock')
  const server = await startServer(directory.path, socket, persistence)
  try {
    return await use(socket)
  } finally {
    await stopServer(server)
  }
}

/** A pipeline of its own for each batch: the fastest of the ways that the library has. Returns the seconds it took. */
async function appendByClient(socket: string, load: AppendLoad): Promise<number> {
  const client = createClient({ socket: { path: socket, tls: false } })
  await client.connect()
  const seconds = await secondsOf(async () => {
    for (const batch of load.batches) {
      const commands = client.multi()
      for (const record of batch) commands.xAdd(STREAM, '*', message(record))
      await commands.execAsPipeline()
    }
  })
  await client.close()
  return seconds
}

/** One write a batch, each command with its reply. */
async function appendByHand(socket: string, load: AppendLoad, inFlight: number): Promise<number> {
  const connection = await RespConnection.open(socket)
  const seconds = await secondsOf(() =>
    inTurns(load.batches, inFlight, (batch) => {
      let commands = ''
      for (const record of batch) commands += encodeRecord(record)
      return connection.send(commands, batch.length)
    }),
  )
  connection.close()
  return seconds
}

async function appendByWaiters(socket: string, load: AppendLoad, waiters: number): Promise<number> {
  const client = createClient({ socket: { path: socket, tls: false } })
  await client.connect()
  const seconds = await secondsOf(() =>
    byWaiters(load.records, waiters, (record) => client.xAdd(STREAM, '*', message(record))),
  )
  await client.close()
  return seconds
}

function message({ ts, key, amount, price, event, text }: BenchRecord): Record<string, string> {
  return { ts: `${ts}`, key, amount: `${amount}`, price: `${price}`, event, text }
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
  for await (const values of entriesOf(connection)) checksum.add(recordOf(values))
  return checksum.value()
}

/** The values of each entry, in the order they were added in. */
async function* entriesOf(connection: RespConnection): AsyncGenerator<readonly string[]> {
  let from = '-'
  for (;;) {
    const reply = await connection.call('XRANGE', STREAM, from, '+', 'COUNT', String(READ_RECORDS))
    const entries = reply as readonly (readonly [id: string, fields: readonly string[]])[]
    // Names and values take turns.
    for (const [, fields] of entries) yield fields.filter((_, index) => index % 2 === 1)
    const last = entries.at(-1)
    if (last === undefined || entries.length < READ_RECORDS) return
    from = `(${last[0]}`
  }
}

function recordOf(values: readonly string[]): BenchRecord {
  const [ts, key = '', amount, price, event = '', text = ''] = values
  return { ts: Number(ts), key, amount: Number(amount), price: Number(price), event, text }
}

async function startServer(
  directory: string,
  socket: string,
  persistence: readonly string[],
): Promise<ChildProcess> {
  const options = ['--port', '0', '--unixsocket', socket, '--unixsocketperm', '700', '--dir']
  const common = ['--save', '', '--daemonize', 'no']
  const server = spawn('redis-server', [...options, directory, ...common, ...persistence], {
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
