/**
 * Appends to many streams over the Durable Streams protocol, beside the protocol's reference server in memory: the same
 * requests, from a client that costs next to nothing.
 */
import {
  secondsOf,
  type Benchmark,
  type BenchmarkCase,
  type Contender,
  type Scale,
} from './harness.ts'
import { requestBytes, sendAll } from './http-client.ts'
import { type ServerProcess, startBare, startOurs, startReference } from './http-servers.ts'
import { makeTempDirectory } from './temp-directory.ts'

interface Size {
  readonly streams: readonly number[]
  readonly appends: number
}

const SIZES: Readonly<Record<Scale, Size>> = {
  full: { streams: [100, 1_000, 10_000], appends: 40_000 },
  quick: { streams: [100, 1_000, 10_000], appends: 10_000 },
  tiny: { streams: [3], appends: 30 },
}
const MESSAGE_BYTES = 256
const IN_FLIGHT = 64
const REFERENCE = 'the reference server, in memory'
const TYPE = { 'content-type': 'application/octet-stream' }

export const durableStreams: Benchmark = {
  name: 'durable-streams',
  question: 'How many appends a second do many streams take, beside the reference server?',
  async *cases(scale) {
    const { streams, appends } = SIZES[scale]
    for (const count of streams) {
      yield streamsCase(count, appends, false)
      yield streamsCase(count, appends, true)
    }
  },
}

function streamsCase(streams: number, appends: number, isDurable: boolean): BenchmarkCase {
  const target = isDurable ? { floor: 1, goal: 2 } : { floor: 2, goal: 5 }
  return {
    name: `${streams} streams, ${IN_FLIGHT} in flight, ${isDurable ? 'synced to disk' : 'in memory'}`,
    unit: 'appends/s',
    higherIsBetter: true,
    targets: { [REFERENCE]: target },
    checksum: sampleOf(streams, appends),
    ours: {
      name: 'ours',
      measure: () =>
        isDurable ? onDisk(streams, appends) : measure(startOurs(), streams, appends),
    },
    peers: [{ name: REFERENCE, measure: () => measure(startReference(), streams, appends) }],
    limit: discarding(streams, appends),
    missing: [],
  }
}

async function onDisk(streams: number, appends: number): ReturnType<Contender['measure']> {
  await using directory = await makeTempDirectory()
  return await measure(startOurs(['--data-dir', directory.path]), streams, appends)
}

async function measure(
  starting: Promise<ServerProcess>,
  streams: number,
  appends: number,
): ReturnType<Contender['measure']> {
  await using server = await starting
  const create = Array.from({ length: streams }, (_, stream) =>
    requestBytes('PUT', pathOf(stream), '', TYPE),
  )
  await sendAll(server.port, IN_FLIGHT, create)
  const requests = appendsOf(streams, appends)
  const seconds = await secondsOf(() => sendAll(server.port, IN_FLIGHT, requests))
  const [first, last] = sampled(streams).map(
    async (stream) =>
      await (await fetch(`http://127.0.0.1:${server.port}${pathOf(stream)}?offset=-1`)).text(),
  )
  return { value: appends / seconds, checksum: `${await first} ${await last}` }
}

function discarding(streams: number, appends: number): Contender {
  return {
    name: 'node:http that discards',
    async measure() {
      await using server = await startBare('discard')
      const requests = appendsOf(streams, appends)
      const seconds = await secondsOf(() => sendAll(server.port, IN_FLIGHT, requests))
      return { value: appends / seconds, checksum: null }
    },
  }
}

function appendsOf(streams: number, appends: number): Buffer[] {
  return Array.from({ length: appends }, (_, n) =>
    requestBytes('POST', pathOf(n % streams), messageOf(n, streams), TYPE),
  )
}

/** The first and the last. */
function sampled(streams: number): readonly number[] {
  return [0, streams - 1]
}

/** What the sampled streams hold in the end. */
function sampleOf(streams: number, appends: number): string {
  const texts = sampled(streams).map((stream) => {
    let text = ''
    for (let n = stream; n < appends; n += streams) text += messageOf(n, streams)
    return text
  })
  return texts.join(' ')
}

/** Messages of one stream are alike, so their order does not count. */
function messageOf(n: number, streams: number): string {
  return `stream ${n % streams} `.padEnd(MESSAGE_BYTES, 'x')
}

function pathOf(stream: number): string {
  return `/v1/stream/bench/${stream}`
}
