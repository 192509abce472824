/** Many readers of one stream by server-sent events: what one read gives to all, each gets once and in order. */
import { once } from 'node:events'
import { type Socket, connect } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { TestServer } from '../support/server.ts'

const JSON_TYPE = { 'content-type': 'application/json' }
let server: TestServer

beforeAll(async () => {
  server = await TestServer.start([])
})

afterAll(() => server.stop())

class EventReader {
  readonly socket: Socket
  #text = ''

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk: Buffer) => {
      this.#text += chunk.toString('latin1')
    })
  }

  static async open(path: string, offset: string, version = '1.1'): Promise<EventReader> {
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
    await once(socket, 'connect')
    const reader = new EventReader(socket)
    socket.write(`GET ${path}?offset=${offset}&live=sse HTTP/${version}\r\nhost: localhost\r\n\r\n`)
    await eventually(() => expect(reader.#text).toContain('upToDate'))
    return reader
  }

  get numbers(): number[] {
    return [...this.#text.matchAll(/\{"n":(\d+)/g)].map(([, n]) => Number(n))
  }

  /** Whether the server ended the answer. */
  get isEnded(): boolean {
    return this.#text.includes('"streamClosed":true')
  }
}

async function append(path: string, n: number, bytes: number): Promise<void> {
  const body = JSON.stringify({ n, text: 'x'.repeat(bytes) })
  const { status } = await server.fetch(path, { method: 'POST', headers: JSON_TYPE, body })
  expect(status).toBe(204)
}

test('readers that wait, come late, take nothing for a while, or speak HTTP/1.0 get every record once', async () => {
  const path = '/v1/stream/events'
  await server.fetch(path, { method: 'PUT', headers: JSON_TYPE })
  const early = await Promise.all([1, 2, 3].map(() => EventReader.open(path, '-1')))
  const old = await EventReader.open(path, '-1', '1.0')
  const slow = await EventReader.open(path, '-1')
  slow.socket.pause()
  const late: EventReader[] = []
  const count = 150
  for (let n = 0; n < count; n++) {
    await append(path, n, 100_000)
    if (n % 50 === 25) late.push(await EventReader.open(path, '-1'))
  }
  const expected = Array.from({ length: count }, (_, n) => n)
  for (const reader of [...early, old, ...late])
    await eventually(() => expect(reader.numbers).toEqual(expected))
  // It holds up nobody, and goes on where it was.
  expect(slow.numbers.length).toBeLessThan(count)
  slow.socket.resume()
  await eventually(() => expect(slow.numbers).toEqual(expected))
  await append(path, count, 10)
  for (const reader of [...early, old, slow, ...late])
    await eventually(() => expect(reader.numbers).toEqual([...expected, count]))
  const closing = { method: 'POST', headers: { ...JSON_TYPE, 'stream-closed': 'true' } }
  expect((await server.fetch(path, closing)).status).toBe(204)
  for (const reader of [...early, old, slow, ...late]) {
    await eventually(() => expect(reader.isEnded).toBe(true))
    reader.socket.destroy()
  }
})

test('a reader that goes leaves the others theirs, and the last that goes lets the next begin', async () => {
  const path = '/v1/stream/going'
  await server.fetch(path, { method: 'PUT', headers: JSON_TYPE })
  const [first, second] = [await EventReader.open(path, '-1'), await EventReader.open(path, '-1')]
  await append(path, 0, 10)
  await eventually(() => expect(second.numbers).toEqual([0]))
  first.socket.destroy()
  await append(path, 1, 10)
  await eventually(() => expect(second.numbers).toEqual([0, 1]))
  second.socket.destroy()
  await append(path, 2, 10)
  const third = await EventReader.open(path, '-1')
  await append(path, 3, 10)
  await eventually(() => expect(third.numbers).toEqual([0, 1, 2, 3]))
  third.socket.destroy()
})
