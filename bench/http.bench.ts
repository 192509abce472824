/**
 * The server over loopback, a process of its own, beside servers of `node:http` that do nothing with what they get.
 * The client sends bytes that were made before, so that it is the server that is measured.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { tableToIPC } from 'apache-arrow'
import { type AppendLoad, makeAppendLoad } from './append-load.ts'
import {
  constant,
  secondsOf,
  type Benchmark,
  type BenchmarkCase,
  type Contender,
  type Scale,
} from './harness.ts'
import { requestBytes, sendAll } from './http-client.ts'
import { type ServerProcess, cpuSeconds, startBare, startOurs } from './http-servers.ts'
import { arrowTable, loadColumns } from './memory-load.ts'
import type { BenchRecord } from './records.ts'
import { followAll } from './sse-readers.ts'
import { makeTempDirectory } from './temp-directory.ts'

interface Size {
  readonly records: number
  /** Single appends. */
  readonly singles: number
  readonly readers: number
  /** Records that each reader of events is given. */
  readonly events: number
}

const SIZES: Readonly<Record<Scale, Size>> = {
  full: { records: 500_000, singles: 20_000, readers: 1_000, events: 100 },
  quick: { records: 100_000, singles: 5_000, readers: 1_000, events: 30 },
  tiny: { records: 2_000, singles: 100, readers: 3, events: 3 },
}
const BATCH_RECORDS = 1_000
const BATCHES_IN_FLIGHT = 4
const SINGLES_IN_FLIGHT = 64
const SSE_MICROS = 8
const SSE_GOAL_MICROS = 4
const RECORDS_PATH = '/v1/logs/events/records'

export const http: Benchmark = {
  name: 'http',
  question: 'What does the server cost over a bare one: appends, reads and events over loopback?',
  async *cases(scale) {
    const { records, singles, readers, events } = SIZES[scale]
    const load = makeAppendLoad(records, BATCH_RECORDS)
    yield arrowAppends(load)
    yield ndjsonAppends(load)
    yield singleAppends(load.records.slice(0, singles))
    yield* catchUp(load)
    yield eventReaders(readers, events, false)
    yield eventReaders(readers, events, true)
  },
}

function arrowAppends(load: AppendLoad): BenchmarkCase {
  const type = 'application/vnd.apache.arrow.stream'
  const bodies = load.batches.map((batch) => tableToIPC(arrowTable(loadColumns(batch)), 'stream'))
  return {
    name: `Arrow batches of ${BATCH_RECORDS}, ${BATCHES_IN_FLIGHT} in flight`,
    unit: 'records/s',
    higherIsBetter: true,
    targets: { 'node:http that discards': { floor: 0.5, goal: 0.75 } },
    checksum: summaryOf(load.records),
    ours: appending('ours', load.records, bodies, type, BATCHES_IN_FLIGHT),
    peers: [],
    limit: discarding(load.count, bodies, type, BATCHES_IN_FLIGHT),
    missing: [],
  }
}

function ndjsonAppends(load: AppendLoad): BenchmarkCase {
  const bodies = load.batches.map((batch) =>
    Buffer.from(batch.map((record) => `${JSON.stringify(record)}\n`).join('')),
  )
  const name = 'JSON.parse a line in a bare loop'
  return {
    name: `NDJSON batches of ${BATCH_RECORDS}, ${BATCHES_IN_FLIGHT} in flight`,
    unit: 'records/s',
    higherIsBetter: true,
    targets: { [name]: { floor: 0.6, goal: 1.2 } },
    checksum: summaryOf(load.records),
    ours: appending('ours', load.records, bodies, 'application/x-ndjson', BATCHES_IN_FLIGHT),
    peers: [],
    limit: { name, measure: async () => parseLines(bodies) },
    missing: [],
  }
}

async function parseLines(bodies: readonly Buffer[]): Promise<{ value: number; checksum: null }> {
  let parsed = 0
  const parse = (): void => {
    for (const body of bodies) {
      for (const line of body.toString().split('\n')) {
        if (line === '') continue
        if ((JSON.parse(line) as BenchRecord).ts > 0) parsed++
      }
    }
  }
  parse()
  const seconds = await secondsOf(parse)
  return { value: parsed / 2 / seconds, checksum: null }
}

function singleAppends(records: readonly BenchRecord[]): BenchmarkCase {
  const bodies = records.map((record) => Buffer.from(JSON.stringify(record)))
  const type = 'application/json'
  return {
    name: `single JSON appends, ${SINGLES_IN_FLIGHT} in flight`,
    unit: 'records/s',
    higherIsBetter: true,
    targets: { 'node:http that discards': { floor: 0.5, goal: 0.7 } },
    checksum: summaryOf(records),
    ours: appending('ours', records, bodies, type, SINGLES_IN_FLIGHT),
    peers: [],
    limit: discarding(records.length, bodies, type, SINGLES_IN_FLIGHT),
    missing: [],
  }
}

/** Appends all of it to a log for nothing, so that the server's code is warm, and then to the one that counts. */
function appending(
  name: string,
  records: readonly BenchRecord[],
  bodies: readonly Uint8Array[],
  type: string,
  inFlight: number,
): Contender {
  return {
    name,
    async measure() {
      await using server = await startOurs()
      await createLog(server, 'warm')
      await createLog(server, 'events')
      const to = (log: string): Buffer[] => requestsOf(`/v1/logs/${log}/records`, bodies, type)
      await sendAll(server.port, inFlight, to('warm'))
      const requests = to('events')
      const seconds = await secondsOf(() => sendAll(server.port, inFlight, requests))
      return { value: records.length / seconds, checksum: await storedSummary(server) }
    },
  }
}

function discarding(
  count: number,
  bodies: readonly Uint8Array[],
  type: string,
  inFlight: number,
): Contender {
  return {
    name: 'node:http that discards',
    async measure() {
      await using server = await startBare('discard')
      const requests = requestsOf(RECORDS_PATH, bodies, type)
      await sendAll(server.port, inFlight, requests)
      const seconds = await secondsOf(() => sendAll(server.port, inFlight, requests))
      return { value: count / seconds, checksum: null }
    },
  }
}

async function* catchUp(load: AppendLoad): AsyncGenerator<BenchmarkCase> {
  await using directory = await makeTempDirectory()
  const file = join(directory.path, 'answer')
  await using server = await startOurs()
  await createLog(server, 'events')
  const bodies = load.batches.map((batch) => tableToIPC(arrowTable(loadColumns(batch)), 'stream'))
  const type = 'application/vnd.apache.arrow.stream'
  await sendAll(server.port, 1, requestsOf(RECORDS_PATH, bodies, type))
  const path = `${RECORDS_PATH}?format=arrow`
  const answer = await download(server.port, path)
  await writeFile(file, answer.bytes)
  await using bare = await startBare('send', file)
  const bytes = String(answer.bytes.length)
  const reading = (name: string, port: number, isOurs: boolean): Contender => ({
    name,
    async measure() {
      let length = 0
      const seconds = await secondsOf(async () => {
        length = (await download(port, path)).bytes.length
      })
      return { value: length / seconds / 1_000_000, checksum: isOurs ? String(length) : null }
    },
  })
  yield {
    name: `catch-up read of ${load.count} records as Arrow`,
    unit: 'MB/s',
    higherIsBetter: true,
    targets: { 'node:http that sends the same bytes': { floor: 0.6, goal: 0.8 } },
    checksum: bytes,
    ours: reading('ours', server.port, true),
    peers: [],
    limit: reading('node:http that sends the same bytes', bare.port, false),
    missing: [],
  }
}

async function download(port: number, path: string): Promise<{ readonly bytes: Buffer }> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`)
  if (response.status !== 200) throw new Error(`the server answered ${await response.text()}`)
  return { bytes: Buffer.from(await response.arrayBuffer()) }
}

/**
 * CPU of the whole server process, for every record that every reader got. A few appends are in flight; where the
 * appender waits for the readers after each, no two records can share an event.
 */
function eventReaders(readers: number, events: number, waits: boolean): BenchmarkCase {
  const name = `${SSE_MICROS} µs`
  return {
    name: `${readers} readers of one stream by server-sent events${waits ? ', a record an event' : ''}`,
    unit: 'µs of CPU per record and reader',
    higherIsBetter: false,
    targets: { [name]: { floor: 1, goal: SSE_MICROS / SSE_GOAL_MICROS } },
    checksum: `${readers} × ${events}`,
    ours: {
      name: 'ours',
      async measure() {
        await using server = await startOurs()
        const before = async (): Promise<number> => cpuSeconds(server)
        const { seconds, seen } = await followAll(server.port, { readers, events, waits }, before)
        return {
          value: (seconds * 1e6) / (readers * events),
          checksum: `${seen.length} × ${new Set(seen).size === 1 ? seen[0] : seen.join()}`,
        }
      },
    },
    peers: [],
    limit: constant(name, SSE_MICROS),
    missing: [],
  }
}

function requestsOf(path: string, bodies: readonly Uint8Array[], type: string): Buffer[] {
  return bodies.map((body) => requestBytes('POST', path, body, { 'content-type': type }))
}

async function createLog({ port }: ServerProcess, name: string): Promise<void> {
  const body = JSON.stringify({
    name,
    timeColumn: 'ts',
    keyColumn: 'key',
    schema: {
      ts: 'timestamp[ms]',
      key: 'utf8',
      amount: 'int32',
      price: 'float64',
      event: 'utf8',
      text: 'utf8',
    },
  })
  const headers = { 'content-type': 'application/json' }
  await sendAll(port, 1, [requestBytes('POST', '/v1/logs', body, headers)])
}

/** What was stored: of the values that add up. */
async function storedSummary({ port }: ServerProcess): Promise<string> {
  const sql = `SELECT count(*)::INT AS count, sum(amount)::DOUBLE AS amount,
    sum(round(price * 100))::DOUBLE AS cents, sum(ascii(substr(text, 50, 1)))::DOUBLE AS text FROM events`
  const response = await fetch(`http://127.0.0.1:${port}/v1/sql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ sql }),
  })
  const { rows } = (await response.json()) as { readonly rows: readonly (readonly number[])[] }
  return (rows[0] ?? []).join()
}

function summaryOf(records: readonly BenchRecord[]): string {
  let [amount, cents, text] = [0, 0, 0]
  for (const record of records) {
    amount += record.amount
    cents += Math.round(record.price * 100)
    text += record.text.charCodeAt(49)
  }
  return [records.length, amount, cents, text].join()
}
