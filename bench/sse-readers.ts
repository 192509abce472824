/** Readers of one stream by server-sent events, on sockets that nothing stands before. */
import { once } from 'node:events'
import { type Socket, connect } from 'node:net'
import { requestBytes, sendAll } from './http-client.ts'

const APPENDS_IN_FLIGHT = 4
const PATH = '/v1/stream/followed'
const JSON_TYPE = { 'content-type': 'application/json' }

export interface Followed {
  /** How much of what `clock` counts went by while the records were appended and read. */
  readonly seconds: number
  /** Of each reader: how many records it got after the first, each once; −2 where that is not so. */
  readonly seen: readonly number[]
}

/** Appends records, a few at the same time; where `waits`, each when every reader has the one before. */
export async function followAll(
  port: number,
  { readers, events, waits }: { readers: number; events: number; waits: boolean },
  clock: () => Promise<number>,
): Promise<Followed> {
  await sendAll(port, 1, [requestBytes('PUT', PATH, '', JSON_TYPE)])
  const all = await Promise.all(Array.from({ length: readers }, () => Reader.open(port)))
  try {
    const record = (n: number): Buffer =>
      requestBytes('POST', PATH, JSON.stringify({ n, text: 'x'.repeat(100) }), JSON_TYPE)
    // The first one finds code that is cold.
    await sendAll(port, 1, [record(0)])
    await Promise.all(all.map((reader) => reader.has(1)))
    const before = await clock()
    const records = Array.from({ length: events }, (_, index) => record(index + 1))
    if (!waits) await sendAll(port, APPENDS_IN_FLIGHT, records)
    for (const [index, next] of waits ? records.entries() : []) {
      await sendAll(port, 1, [next])
      await Promise.all(all.map((reader) => reader.has(index + 2)))
    }
    await Promise.all(all.map((reader) => reader.has(events + 1)))
    const seconds = (await clock()) - before
    return { seconds, seen: all.map((reader) => reader.count - 1) }
  } finally {
    for (const reader of all) reader.close()
  }
}

class Reader {
  readonly #socket: Socket
  #wanted = 0
  #resolve: () => void = () => {}
  #rest = ''
  #count = 0
  readonly #seen = new Set<number>()

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk) => this.#take(chunk.toString('latin1')))
  }

  /** Resolves when the server has said that the reader is up to date. */
  static async open(port: number): Promise<Reader> {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    const path = `${PATH}?offset=-1&live=sse`
    socket.write(requestBytes('GET', path))
    await once(socket, 'data')
    return new Reader(socket)
  }

  get count(): number {
    return this.#count
  }

  has(count: number): Promise<void> {
    if (this.#count >= count || this.#count < 0) return Promise.resolve()
    this.#wanted = count
    return new Promise((resolve) => {
      this.#resolve = resolve
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  #take(text: string): void {
    this.#rest += text
    for (const [, n] of this.#rest.matchAll(/\{"n":(\d+),/g)) {
      this.#count = this.#seen.has(Number(n)) ? -1 : this.#seen.add(Number(n)).size
      if (this.#count < 0) break
    }
    const last = this.#rest.lastIndexOf('{"n":')
    const end = last === -1 ? this.#rest.length : this.#rest.indexOf(',', last)
    this.#rest = end === -1 ? this.#rest.slice(last) : this.#rest.slice(end)
    if (this.#count >= this.#wanted || this.#count < 0) this.#resolve()
  }
}
